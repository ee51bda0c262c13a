import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { cgroupName } from "./options.ts";
import { until } from "./poll.ts";

const ROOT = "/sys/fs/cgroup";

/** An instance's folder in every hierarchy of version 1, or in the one of version 2 (untested). */
export function cgroupFolders(instance: string, root = ROOT): string[] {
  const name = cgroupName(instance);
  if (existsSync(join(root, "cgroup.controllers"))) return [join(root, name)];
  return readdirSync(root)
    .filter((hierarchy) => statSync(join(root, hierarchy)).isDirectory())
    .map((hierarchy) => join(root, hierarchy, name));
}

/** Makes the folders below which all control groups of an instance are. */
export function createCgroups(instance: string): void {
  for (const folder of cgroupFolders(instance)) {
    mkdirSync(folder, { recursive: true });
    for (const file of ["cpuset.cpus", "cpuset.mems"]) inherit(folder, file);
  }
}

/** Removes the control groups of an instance's pods, which have ended: a kubelet that finds them waits for each. */
export async function removePodCgroups(instance: string): Promise<void> {
  await removeFolders(cgroupFolders(instance).map((folder) => join(folder, "kubepods")));
}

/** Removes the control groups of an instance whose processes have ended. */
export async function removeCgroups(instance: string): Promise<void> {
  await removeFolders(cgroupFolders(instance));
}

async function removeFolders(folders: readonly string[]): Promise<void> {
  for (const folder of folders.filter((path) => existsSync(path))) {
    await until(`removal of ${folder}`, 20, () => {
      removeTree(folder);
      return true;
    });
  }
}

function removeTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  rmdirSync(folder);
}

/** In version 1 a new cpuset is empty, and an empty one takes no process. */
function inherit(folder: string, file: string): void {
  const own = join(folder, file);
  if (!existsSync(own) || readFileSync(own, "utf8").trim() !== "") return;
  const parent = join(folder, "..", file);
  if (existsSync(parent)) writeFileSync(own, readFileSync(parent));
}
