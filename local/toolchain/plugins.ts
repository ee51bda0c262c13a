import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { symlink } from "node:fs/promises";
import { join } from "node:path";

import { tryRun } from "./run.ts";

/** How long a download that failed is not tried again: a machine without a way to it need not ask every time. */
const RETRY_MS = 24 * 3600 * 1000;

/** Where official plugins are kept and what is known of them. */
export interface PluginStore {
  /** The Pulumi CLI. */
  readonly command: string;
  /** PULUMI_HOME of the machine's plugins, in the cache. */
  readonly home: string;
  /** Folder with `node_modules`, whose packages say which plugin they need. */
  readonly checkout: string;
}

/** Version of a provider plugin: that of its npm package. */
export function pluginVersion(checkout: string, name: string): string {
  const file = join(checkout, "node_modules", "@pulumi", name, "package.json");
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
  return version;
}

/** Downloads the official provider plugins that are not there yet, each where that is possible. */
export async function downloadPlugins(
  { command, home, checkout }: PluginStore,
  names: readonly string[],
): Promise<void> {
  await Promise.all(
    names.map(async (name) => {
      const version = pluginVersion(checkout, name);
      const failed = join(home, `${name}-${version}.failed`);
      if (existsSync(join(home, "plugins", `resource-${name}-v${version}`))) return;
      if (existsSync(failed) && Date.now() - statSync(failed).mtimeMs < RETRY_MS) return;
      mkdirSync(home, { recursive: true });
      const env = { ...process.env, PULUMI_HOME: home, PULUMI_SKIP_UPDATE_CHECK: "true" };
      const args = ["--non-interactive", "plugin", "install", "resource", name, version];
      const log = join(home, "download.log");
      if ((await tryRun(command, args, { env, log })) === undefined) writeFileSync(failed, "");
      else rmSync(failed, { force: true });
    }),
  );
}

/** Makes the machine's plugins those of a platform's own PULUMI_HOME. */
export async function sharePlugins(store: string, home: string): Promise<void> {
  const plugins = join(home, "plugins");
  if (existsSync(plugins)) return;
  mkdirSync(home, { recursive: true });
  mkdirSync(join(store, "plugins"), { recursive: true });
  await symlink(join(store, "plugins"), plugins);
}
