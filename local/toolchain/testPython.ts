import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { withLock } from "./lock.ts";
import { cacheRoot } from "./paths.ts";
import { run } from "./run.ts";

/** The Python that runs the image tests: a virtual environment in the cache with `images/requirements-dev.lock`. */
export async function ensureTestPython(checkout: string): Promise<string> {
  const requirements = join(checkout, "images", "requirements-dev.lock");
  const hash = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const home = join(cacheRoot(), "python", `tests-${hash}`);
  const python = join(home, "bin", "python");
  if (existsSync(python)) return python;
  return withLock(join(cacheRoot(), "locks", "test-python"), async () => {
    if (existsSync(python)) return python;
    await mkdir(join(home, ".."), { recursive: true });
    const fresh = await mkdtemp(`${home}.partial-`);
    const common = {
      remedy: "check that the Python package index can be reached, then run the same command again",
    };
    try {
      await run("python3", ["-m", "venv", fresh], {
        ...common,
        what: "making a Python environment",
      });
      const install = ["-m", "pip", "install", "--quiet", "--requirement", requirements];
      await run(join(fresh, "bin", "python"), install, {
        ...common,
        what: "installing what the image tests need",
      });
      await rename(fresh, home);
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
    return python;
  });
}
