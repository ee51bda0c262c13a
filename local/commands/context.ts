import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import { delimiter, join } from "node:path";

import type { ClusterOptions } from "../cluster/options.ts";
import { GoTools } from "../toolchain/goTools.ts";
import { tryLock } from "../toolchain/lock.ts";
import { cacheRoot, instanceFolders, instanceId } from "../toolchain/paths.ts";
import type { InstanceFolders } from "../toolchain/paths.ts";

/** What every command works with. */
export interface Context {
  readonly checkout: string;
  readonly instance: string;
  readonly folders: InstanceFolders;
  readonly tools: GoTools;
  /** Fires when the user interrupts the command, or a part of it has failed. */
  readonly signal: AbortSignal;
  /** Ends what still runs. */
  abort(): void;
}

/** How a running platform is reached. */
export interface Platform {
  /** `own`: made by `make local` on this machine. `external`: the user's cluster and Docker engine. */
  readonly kind: "own" | "external";
  /** Context of the kubeconfig. */
  readonly context: string;
  /** Address of the node, where the services' node ports are. */
  readonly nodeAddress: string;
  /** Variables with which docker and kubectl reach it. */
  readonly env: Readonly<Record<string, string>>;
}

/** Go tools that only the cluster needs. */
export const clusterTools = ["kubernetes", "coredns", "prometheus-adapter", "pause"] as const;

/** The context of a checkout. */
export function makeContext(checkout: string): Context {
  const folders = instanceFolders(checkout);
  const goFolder = join(checkout, "local", "toolchain", "go");
  const controller = new AbortController();
  const { signal } = controller;
  return {
    checkout: folders.checkout,
    instance: instanceId(checkout),
    folders,
    tools: new GoTools({ goFolder, logs: folders.logs, signal }),
    signal,
    abort: () => {
      controller.abort();
    },
  };
}

/** Runs `work` as the only command that changes this checkout's platform. */
export async function alone<T>(context: Context, work: () => Promise<T>): Promise<T> {
  const held = await tryLock(join(cacheRoot(), "locks", `platform-${context.instance}`));
  if (held === undefined) {
    throw new Error(
      "Another command is changing this checkout's platform.\n" +
        "  what to do: wait until it has ended, or end it with Ctrl-C, then run this again.",
    );
  }
  try {
    return await work();
  } finally {
    await held.release();
  }
}

/** File that remembers who holds the image stores. */
export function slotRecord(context: Context): string {
  return join(context.folders.root, "slot.json");
}

/** File that says how the platform's parts are reached. */
export function platformFile(context: Context): string {
  return join(context.folders.root, "platform.json");
}

/** The platform that `make local` has started in this checkout. */
export function readPlatform(context: Context): Platform {
  const platform = findPlatform(context);
  if (platform !== undefined) return platform;
  throw new Error("No platform runs in this checkout.\n  what to do: make local");
}

/** Like {@link readPlatform}, `undefined` where there is none. */
export function findPlatform(context: Context): Platform | undefined {
  const file = platformFile(context);
  if (!existsSync(file)) return undefined;
  const raw: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (!isPlatform(raw)) throw new Error(`${file} is damaged.\n  what to do: make local`);
  return raw;
}

/** Folder of the commands that work on this checkout's platform: docker, kubectl, the stand-ins. */
export function commandFolder(context: Context): string {
  return join(context.folders.root, "bin");
}

/** Folders that the Pulumi of this checkout works with: the program, the stand-ins' launchers, its home. */
export function pulumiFolders(context: Context): { checkout: string; bin: string; home: string } {
  const home = join(context.folders.pulumi, "home");
  return { checkout: context.checkout, bin: commandFolder(context), home };
}

/** Puts commands into {@link commandFolder}. */
export async function linkCommands(
  context: Context,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const folder = commandFolder(context);
  await mkdir(folder, { recursive: true });
  for (const [name, file] of Object.entries(files)) {
    await rm(join(folder, name), { force: true });
    await symlink(file, join(folder, name));
  }
}

/** Variables that make docker and kubectl work on this platform and no other. */
export function platformEnvironment(
  context: Context,
  platform: Platform,
): Record<string, string> & { PATH: string } {
  const path = [commandFolder(context), process.env["PATH"] ?? ""].join(delimiter);
  return { ...platform.env, PATH: path };
}

/** What the cluster's own code has to know. */
export async function clusterOptions(
  context: Context,
  slotDir: string,
  debsRoot: string,
): Promise<ClusterOptions> {
  const file = async (tool: (typeof clusterTools)[number]): Promise<string> =>
    join(await context.tools.folder(tool), "bin", context.tools.recipe(tool).output);
  return {
    instance: context.instance,
    stateDir: context.folders.root,
    slotDir,
    sourceDir: join(context.checkout, "local"),
    tools: {
      hyperkube: await file("kubernetes"),
      coredns: await file("coredns"),
      pause: await file("pause"),
      prometheusAdapter: await file("prometheus-adapter"),
      debsRoot,
    },
  };
}

function isPlatform(raw: unknown): raw is Platform {
  return typeof raw === "object" && raw !== null && "kind" in raw && "nodeAddress" in raw;
}
