import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

/** A held lock. */
export interface Lock {
  /** Gives the lock back. */
  release(): Promise<void>;
}

/**
 * Waits for an exclusive lock on `file` and holds it until released. The kernel gives it back when this process dies,
 * however it dies: the helper that holds it ends with its standard input.
 */
export async function lock(file: string): Promise<Lock> {
  mkdirSync(dirname(file), { recursive: true });
  const holder = spawn("flock", ["--exclusive", "--close", file, "sh", "-c", "echo held; cat"], {
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  const ended = new Promise<void>((done) => holder.on("close", () => done()));
  await new Promise<void>((done, fail) => {
    holder.stdout.once("data", () => done());
    holder.on("error", (error) => fail(new Error(`cannot lock ${file}: ${error.message}`)));
    holder.on("close", () => fail(new Error(`cannot lock ${file}: flock ended early`)));
  });
  return {
    release: async () => {
      holder.stdin.end();
      await ended;
    },
  };
}

/** Runs `work` while an exclusive lock on `file` is held. */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const held = await lock(file);
  try {
    return await work();
  } finally {
    await held.release();
  }
}
