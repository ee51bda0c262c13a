import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Folder of everything that outlives a platform: built tools, packages, image stores, timings. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  const base = env["XDG_CACHE_HOME"];
  const parent = base !== undefined && base !== "" ? base : join(homedir(), ".cache");
  return join(parent, "llmops");
}

/** Name of a checkout's platform: six hex digits of its path, or `LLMOPS_INSTANCE`. */
export function instanceId(checkout: string, env: NodeJS.ProcessEnv = process.env): string {
  const given = env["LLMOPS_INSTANCE"];
  if (given !== undefined && given !== "") {
    if (!/^[a-z0-9]{1,6}$/.test(given)) {
      throw new Error(`LLMOPS_INSTANCE is "${given}": use 1 to 6 lower-case letters or digits.`);
    }
    return given;
  }
  return createHash("sha256").update(resolve(checkout)).digest("hex").slice(0, 6);
}

/** Where one checkout keeps its own platform. */
export interface InstanceFolders {
  /** The checkout itself. */
  readonly checkout: string;
  /** `.local/`, removed by `make local-down`. */
  readonly root: string;
  /** Log files, one a process or command. */
  readonly logs: string;
  /** Pulumi's home, its state and the passphrase. */
  readonly pulumi: string;
  /** The stack's settings as this platform uses them: a copy, never the tracked file. */
  readonly stackFile: string;
}

/** The folders of a checkout's platform. */
export function instanceFolders(checkout: string): InstanceFolders {
  const root = join(resolve(checkout), ".local");
  return {
    checkout: resolve(checkout),
    root,
    logs: join(root, "log"),
    pulumi: join(root, "pulumi"),
    stackFile: join(root, "Pulumi.local.yaml"),
  };
}
