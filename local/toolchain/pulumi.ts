import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

import { installStandins, officialPlugins, pluginNames } from "../standins/install.ts";
import type { PluginName } from "../standins/install.ts";
import type { GoTools } from "./goTools.ts";
import { cacheRoot } from "./paths.ts";
import { downloadPlugins, pluginVersion, sharePlugins } from "./plugins.ts";
import { tryRun } from "./run.ts";

/** The Pulumi that this checkout works with. */
export interface PulumiTool {
  readonly command: string;
  /** Folders to put on PATH before all others: this Node, Pulumi, the stand-ins. */
  readonly path: readonly string[];
  /** Plugins that a stand-in takes the place of. */
  readonly standins: readonly string[];
  readonly built: boolean;
}

/** The oldest Pulumi CLI that is taken from PATH. */
const OLDEST: readonly [number, number] = [3, 230];

/** Whether a Pulumi version ("v3.259.0") can run the program. */
export function pulumiIsEnough(version: string): boolean {
  const match = /^v?(\d+)\.(\d+)\./.exec(version.trim());
  if (match === null) return false;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

/** The Pulumi CLI on PATH, if it is new enough and comes with its Node language host. */
export async function pulumiOnPath(): Promise<string | undefined> {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const folder = folders.find((entry) => existsSync(join(entry, "pulumi")));
  if (folder === undefined || !existsSync(join(folder, "pulumi-language-nodejs"))) return undefined;
  const version = await tryRun(join(folder, "pulumi"), ["version"]);
  return version !== undefined && pulumiIsEnough(version) ? join(folder, "pulumi") : undefined;
}

/** Where the Pulumi CLI of this machine is: on PATH, or built before. */
export async function officialOrBuilt(
  tools: GoTools,
  standinsBin: string,
): Promise<{ command: string; path: readonly string[] }> {
  const command = (await pulumiOnPath()) ?? join(await tools.folder("pulumi"), "bin", "pulumi");
  return { command, path: [dirname(process.execPath), dirname(command), standinsBin] };
}

const PROVIDER = "pulumi-resource-";

function officialAt(
  commandFolder: string,
  { bin, home, checkout }: { bin: string; home: string; checkout: string },
): Promise<PluginName[]> {
  // A shell with this platform's environment has the stand-ins on its PATH.
  const searched = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== bin);
  return officialPlugins([commandFolder, ...searched], home, (name) =>
    pluginVersion(checkout, name),
  );
}

/**
 * Pulumi with every plugin that the program needs: what this machine has is used, the rest is built or downloaded, and
 * a stand-in takes the place of each official plugin that cannot be had.
 */
export async function ensurePulumi(
  tools: GoTools,
  folders: { checkout: string; bin: string; home: string },
): Promise<PulumiTool> {
  const built = (await pulumiOnPath()) === undefined && (await tools.ensure("pulumi")).built;
  const { command, path } = await officialOrBuilt(tools, folders.bin);
  const store = join(cacheRoot(), "plugins");
  await sharePlugins(store, folders.home);
  const { checkout } = folders;
  const there = await officialAt(dirname(command), folders);
  const wanted = pluginNames
    .filter((name) => name.startsWith(PROVIDER) && !there.includes(name))
    .map((name) => name.slice(PROVIDER.length));
  await downloadPlugins({ command, home: store, checkout }, wanted);
  const official = await officialAt(dirname(command), folders);
  const standins = pluginNames.filter((name) => !official.includes(name));
  const source = join(folders.checkout, "local", "standins");
  await installStandins(folders.bin, process.execPath, source, standins);
  return { command, path, standins, built };
}
