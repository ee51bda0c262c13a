import { existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";

const GIB = 1024 ** 3;
const EVERY_MS = 2_000;

/** Free space in GiB below which a disk counts as full: the kubelet then starts no pod and evicts those that run. */
export const leastFreeGib = 1;

/** Free space in GiB where a folder is, or will be. */
export function freeDisk(folder: string): number {
  let at = folder;
  while (!existsSync(at)) at = dirname(at);
  const { bavail, bsize } = statfsSync(at);
  return (bavail * bsize) / GIB;
}

/** What to tell the user about those of the folders whose disk is full; empty where none is. */
export function fullDisks(
  folders: readonly string[],
  free: (folder: string) => number = freeDisk,
): string[] {
  return folders
    .map((folder) => ({ folder, gib: free(folder) }))
    .filter(({ gib }) => gib < leastFreeGib)
    .map(
      ({ folder, gib }) =>
        `The disk that holds ${folder} is full: ${gib.toFixed(1)} GiB are free, and below ${leastFreeGib} GiB no pod runs.\n` +
        "  what to do: make room on that disk, for example by make local-down in checkouts whose platform is not needed,\n" +
        "              then run make local again: it goes on where it stopped.",
    );
}

/** Looks at the disks of folders until one is full, and then calls `onFull` once. Returns what ends the watch. */
export function watchDisks(
  folders: readonly string[],
  onFull: () => void,
  free: (folder: string) => number = freeDisk,
): () => void {
  const watch = setInterval(() => {
    if (fullDisks(folders, free).length === 0) return;
    clearInterval(watch);
    onFull();
  }, EVERY_MS);
  return () => {
    clearInterval(watch);
  };
}
