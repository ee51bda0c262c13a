import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { withLock } from "../toolchain/lock.ts";
import { cacheRoot } from "../toolchain/paths.ts";

/**
 * Makes one JavaScript file of each stand-in and all that it imports: a plugin is started for every preview, and took
 * most of its time to strip types and to look for the several hundred files. Made once for these very sources.
 *
 * @param sourceDir - `local/standins` of the checkout
 * @param entries - the stand-ins' source files in it, such as `random.ts`
 * @returns the folder with the files, such as `random.cjs`
 */
export async function bundleStandins(
  sourceDir: string,
  entries: readonly string[],
): Promise<string> {
  const checkout = join(sourceDir, "..", "..");
  const cache = join(cacheRoot(), "standins");
  const folder = join(cache, await keyOf(sourceDir, join(checkout, "package-lock.json")));
  if (existsSync(folder)) return folder;
  return withLock(join(cacheRoot(), "locks", "standins"), async () => {
    if (existsSync(folder)) return folder;
    await mkdir(cache, { recursive: true });
    const fresh = await mkdtemp(`${folder}.partial-`);
    try {
      const { build } = await import("esbuild");
      await build({
        absWorkingDir: checkout,
        entryPoints: entries.map((entry) => join(sourceDir, entry)),
        outdir: fresh,
        outExtension: { ".js": ".cjs" },
        bundle: true,
        platform: "node",
        target: "node22",
        // As an ES module each would also load all of Node that its built-in modules can give.
        format: "cjs",
        logLevel: "silent",
      });
      await rename(fresh, folder);
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
    return folder;
  });
}

/** Changes with every source, and with every package that may be bundled with them. */
async function keyOf(sourceDir: string, lockFile: string): Promise<string> {
  const files = await readdir(sourceDir, { recursive: true });
  const sources = files.filter((file) => file.endsWith(".ts")).sort();
  const hash = createHash("sha256").update(await readFile(lockFile));
  for (const file of sources) {
    hash.update(`\0${file}\0`).update(await readFile(join(sourceDir, file)));
  }
  return hash.digest("hex").slice(0, 12);
}
