import { spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";

import { tryLock, withLock } from "./lock.ts";
import { cacheRoot } from "./paths.ts";
import { endRemembered, recall, recorded } from "./process.ts";

const SLOTS = 16;
const TAKEN = 75;

/**
 * The image stores of a platform: a numbered folder in the cache that outlives it, so that the next one starts with warm
 * stores. One platform holds it at a time, by a lock that lives as long as the recorded holder process.
 *
 * @param record - file that remembers the holder
 */
export async function takeSlot(record: string): Promise<string> {
  const held = heldSlot(record);
  if (held !== undefined) return held;
  mkdirSync(dirname(record), { recursive: true });
  return withLock(join(cacheRoot(), "locks", "slots"), async () => {
    for (let number = 1; number <= SLOTS; number++) {
      const folder = slotFolder(number);
      mkdirSync(folder, { recursive: true });
      if (await hold(folder, record)) return folder;
    }
    throw new Error(
      `All ${SLOTS} image stores in ${cacheRoot()} are in use by other platforms on this machine.\n` +
        "  what to do: run make local-down in a checkout whose platform is not needed.",
    );
  });
}

/** Whether the image stores that {@link takeSlot} would give now hold images: otherwise all of them will be built. */
export async function slotIsWarm(record: string): Promise<boolean> {
  const held = heldSlot(record);
  if (held !== undefined) return existsSync(join(held, "docker"));
  for (let number = 1; number <= SLOTS; number++) {
    const folder = slotFolder(number);
    if (!existsSync(folder)) return false;
    const lock = await tryLock(join(folder, "lock"));
    if (lock === undefined) continue;
    await lock.release();
    return existsSync(join(folder, "docker"));
  }
  return false;
}

/** Gives the image stores back. */
export function releaseSlot(record: string): void {
  endRemembered(record);
}

function slotFolder(number: number): string {
  return join(cacheRoot(), "slots", String(number));
}

function heldSlot(record: string): string | undefined {
  const folder = recall(record)?.["folder"];
  return typeof folder === "string" ? folder : undefined;
}

/** Starts a process that holds a folder's lock until it is killed; `false` where another one holds it. */
async function hold(folder: string, record: string): Promise<boolean> {
  const file = join(folder, "lock");
  const flags = ["--exclusive", "--nonblock", "--conflict-exit-code", String(TAKEN), "--no-fork"];
  const command = recorded(record, ["sh", "-c", "echo held; exec sleep infinity"], { folder });
  const holder = spawn("flock", [...flags, file, ...command], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
    cwd: "/",
  });
  return new Promise((done, fail) => {
    holder.stdout.once("data", () => {
      holder.stdout.destroy();
      holder.unref();
      done(true);
    });
    holder.on("error", fail);
    holder.on("exit", (code) => {
      if (code === TAKEN) done(false);
      else
        fail(
          new Error(`cannot hold ${file} and note it in ${record}: exit code ${code ?? "none"}`),
        );
    });
  });
}
