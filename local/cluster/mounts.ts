import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { dirname, extname, join, relative } from "node:path";

import { output } from "./commands.ts";
import { clusterPaths, inside, volumesMount } from "./options.ts";
import type { NodePlan } from "./plan.ts";

/** Machine settings that the kubelet would set for the whole machine: it gets files of its own to write to instead. */
const SETTINGS = [
  "vm/overcommit_memory",
  "vm/panic_on_oom",
  "kernel/panic",
  "kernel/panic_on_oops",
  "kernel/keys/root_maxkeys",
  "kernel/keys/root_maxbytes",
] as const;

/** Folders in which the node's programs leave things; the machine's own are covered by empty ones. */
const COVERED = ["/run", "/mnt", "/var/lib", "/var/log"] as const;

/** Lays out the node's private mount namespace. Nothing of this is visible to the machine. */
export async function mountNode(plan: NodePlan): Promise<void> {
  const paths = clusterPaths(plan.stateDir);
  const resolver = existsSync("/etc/resolv.conf") ? realpathSync("/etc/resolv.conf") : undefined;
  for (const folder of COVERED) await cover(folder, plan.keep, join(paths.run, "cover"));
  for (const path of Object.values(inside)) mkdir(extname(path) === "" ? path : dirname(path));
  for (const folder of ["/run/lock", "/run/netns"]) mkdir(folder);
  const state = (name: string): string => join(paths.state, name);
  await bind(paths.config, inside.config);
  await bind(paths.pki, inside.pki);
  await bind(paths.log, inside.log);
  await bind(state("etcd"), inside.etcd);
  await bind(state("pod-logs"), inside.podLogs);
  await bind(join(plan.slotDir, "containerd"), inside.containerd);
  await bind(join(plan.slotDir, "registry"), inside.registry);
  await bind(join(plan.slotDir, "images"), inside.images);
  await bind(state("kubelet"), inside.kubelet);
  await output("mount", ["--make-rshared", inside.kubelet]);
  mkdir(volumesMount);
  await bind(paths.volumes, volumesMount);
  await bindFile(join(paths.config, "hosts"), "/etc/hosts");
  if (resolver !== undefined) await bindFile(join(paths.config, "resolv.conf"), resolver);
  await coverSettings();
}

/** Covers a folder by an empty one in memory, in which only the folders to keep are seen, where they were. */
async function cover(folder: string, keep: readonly string[], scratch: string): Promise<void> {
  if (!existsSync(folder)) return;
  mkdir(scratch);
  await output("mount", ["-t", "tmpfs", "-o", "mode=755", "llmops", scratch]);
  for (const kept of outermost(keep.filter((path) => path.startsWith(`${folder}/`)))) {
    const target = join(scratch, relative(folder, kept));
    mkdir(target);
    await output("mount", ["--rbind", kept, target]);
  }
  await output("mount", ["--rbind", scratch, folder]);
}

/** Of several folders those that are in none of the others. */
export function outermost(folders: readonly string[]): string[] {
  const all = [...new Set(folders)];
  return all.filter((path) => !all.some((other) => path.startsWith(`${other}/`)));
}

async function coverSettings(): Promise<void> {
  const folder = join(inside.root, "settings");
  mkdir(folder);
  for (const setting of SETTINGS) {
    const real = join("/proc/sys", setting);
    if (!existsSync(real)) continue;
    const copy = join(folder, setting.replaceAll("/", "."));
    writeFileSync(copy, readFileSync(real));
    await output("mount", ["--bind", copy, real]);
  }
}

async function bind(source: string, target: string): Promise<void> {
  await output("mount", ["--rbind", source, target]);
}

async function bindFile(source: string, target: string): Promise<void> {
  if (!existsSync(target)) {
    mkdir(dirname(target));
    writeFileSync(target, "");
    chmodSync(target, 0o644);
  }
  await output("mount", ["--bind", source, target]);
}

function mkdir(folder: string): void {
  mkdirSync(folder, { recursive: true });
}
