import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { withLock } from "./lock.ts";
import { cacheRoot } from "./paths.ts";
import { endRemembered, recall, remember } from "./process.ts";

const SLOTS = 16;
const TAKEN = 75;

/**
 * The image stores of a platform: a numbered folder in the cache that outlives it, so that the next one starts with warm
 * stores. One platform holds it at a time, by a lock that lives as long as the recorded holder process.
 *
 * @param record - file that remembers the holder
 */
export async function takeSlot(record: string): Promise<string> {
  const held = recall(record);
  if (typeof held?.["folder"] === "string") return held["folder"];
  return withLock(join(cacheRoot(), "locks", "slots"), async () => {
    for (let number = 1; number <= SLOTS; number++) {
      const folder = join(cacheRoot(), "slots", String(number));
      mkdirSync(folder, { recursive: true });
      const pid = await hold(join(folder, "lock"));
      if (pid === undefined) continue;
      remember(record, pid, { folder });
      return folder;
    }
    throw new Error(
      `All ${SLOTS} image stores in ${cacheRoot()} are in use by other platforms on this machine.\n` +
        "  what to do: run make local-down in a checkout whose platform is not needed.",
    );
  });
}

/** Gives the image stores back. */
export function releaseSlot(record: string): void {
  endRemembered(record);
}

/** Starts a process that holds a lock until it is killed; `undefined` where another one holds it. */
async function hold(file: string): Promise<number | undefined> {
  const args = ["--exclusive", "--nonblock", "--conflict-exit-code", String(TAKEN), "--no-fork"];
  const holder = spawn("flock", [...args, file, "sh", "-c", "echo held; exec sleep infinity"], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
    cwd: "/",
  });
  return new Promise((done, fail) => {
    holder.stdout.once("data", () => {
      holder.stdout.destroy();
      holder.unref();
      done(holder.pid);
    });
    holder.on("error", fail);
    holder.on("exit", (code) => {
      if (code === TAKEN) done(undefined);
      else fail(new Error(`flock ${file} ended with exit code ${code ?? "none"}`));
    });
  });
}
