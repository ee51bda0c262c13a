import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { withLock } from "./lock.ts";
import { cacheRoot } from "./paths.ts";
import { run } from "./run.ts";

/**
 * The Python that runs the image tests: a virtual environment in the cache with `images/requirements-dev.lock`. It is
 * made where it stays, since its scripts name their interpreter by its path; a file says that it is whole.
 */
export async function ensureTestPython(checkout: string): Promise<string> {
  const requirements = join(checkout, "images", "requirements-dev.lock");
  const hash = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const home = join(cacheRoot(), "python", `tests-${hash}`);
  const python = join(home, "bin", "python");
  const whole = join(home, "whole");
  if (existsSync(whole)) return python;
  return withLock(join(cacheRoot(), "locks", "test-python"), async () => {
    if (existsSync(whole)) return python;
    await rm(home, { recursive: true, force: true });
    await mkdir(dirname(home), { recursive: true });
    const remedy =
      "check that the Python package index can be reached, then run the same command again";
    await run("python3", ["-m", "venv", home], { what: "making a Python environment", remedy });
    const install = ["-m", "pip", "install", "--quiet", "--requirement", requirements];
    await run(python, install, { what: "installing what the image tests need", remedy });
    await writeFile(whole, "");
    return python;
  });
}
