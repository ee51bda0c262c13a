import { chmod, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { bundleStandins } from "./bundle.ts";

/** The launchers and the source file each one starts. */
const launchers = {
  "pulumi-language-nodejs": "language-nodejs.ts",
  "pulumi-resource-kubernetes": "kubernetes.ts",
  "pulumi-resource-docker": "docker.ts",
  "pulumi-resource-random": "random.ts",
  "pulumi-resource-gcp": "gcp.ts",
} as const;

/** A plugin of the program, as the engine looks for it. */
export type PluginName = keyof typeof launchers;

/** Every plugin the program needs. */
export const pluginNames = Object.keys(launchers) as PluginName[];

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Writes one small launcher a plugin into `binDir`, and removes the launchers of plugins not wanted.
 * Put the folder on PATH beside or before the `pulumi` command.
 *
 * @param sourceDir - this folder, `local/standins` of the checkout
 * @param names - the plugins to stand in for
 */
export async function installStandins(
  binDir: string,
  nodePath: string,
  sourceDir: string,
  names: readonly PluginName[] = pluginNames,
): Promise<void> {
  await mkdir(binDir, { recursive: true });
  const bundles = await bundleStandins(sourceDir, Object.values(launchers));
  for (const name of pluginNames) {
    const file = join(binDir, name);
    if (!names.includes(name)) {
      await rm(file, { force: true });
      continue;
    }
    const partial = `${file}.${process.pid}`;
    const bundle = join(bundles, launchers[name].replace(/\.ts$/, ".cjs"));
    const command = [nodePath, bundle].map(quoted).join(" ");
    const cache = quoted(join(bundles, "v8"));
    await writeFile(partial, `#!/bin/sh\nNODE_COMPILE_CACHE=${cache} exec ${command} "$@"\n`);
    await chmod(partial, 0o755);
    await rename(partial, file);
  }
}

async function holds(folder: string, test: (entry: string) => boolean): Promise<boolean> {
  try {
    return (await readdir(folder)).some(test);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return false;
    }
    throw error;
  }
}

/**
 * The plugins that are already on this machine as official ones: in one of the folders of `path` (leave the
 * stand-ins' own folder out) or, in the version that the program needs, among those installed under `pulumiHome`.
 *
 * @param versionOf - version of a provider, such as `random`; a language host is only looked for on the path
 */
export async function officialPlugins(
  path: readonly string[],
  pulumiHome: string,
  versionOf: (provider: string) => string,
): Promise<PluginName[]> {
  const found: PluginName[] = [];
  for (const name of pluginNames) {
    const provider = /^pulumi-resource-(.*)$/.exec(name)?.[1];
    const places = await Promise.all([
      provider !== undefined &&
        holds(
          join(pulumiHome, "plugins"),
          (entry) => entry === `resource-${provider}-v${versionOf(provider)}`,
        ),
      ...path.map((folder) => holds(folder, (entry) => entry === name)),
    ]);
    if (places.includes(true)) {
      found.push(name);
    }
  }
  return found;
}
