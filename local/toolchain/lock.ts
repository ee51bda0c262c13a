import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

const TAKEN = 75;

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
  const held = await acquire(file, []);
  if (held === undefined) throw new Error(`cannot lock ${file}`);
  return held;
}

/** Like {@link lock}, but gives `undefined` at once where another process holds it. */
export function tryLock(file: string): Promise<Lock | undefined> {
  return acquire(file, ["--nonblock", "--conflict-exit-code", String(TAKEN)]);
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

async function acquire(file: string, flags: readonly string[]): Promise<Lock | undefined> {
  mkdirSync(dirname(file), { recursive: true });
  const args = ["--exclusive", "--close", ...flags, file, "sh", "-c", "echo held; cat"];
  const holder = spawn("flock", args, { stdio: ["pipe", "pipe", "ignore"], detached: true });
  const ended = new Promise<number | null>((done) => holder.on("close", done));
  const held = await new Promise<boolean>((done, fail) => {
    holder.stdout.once("data", () => {
      done(true);
    });
    holder.on("error", (error) => {
      fail(new Error(`cannot lock ${file}: ${error.message}`));
    });
    holder.on("close", (code) => {
      if (code === TAKEN) done(false);
      else fail(new Error(`cannot lock ${file}: flock ended with exit code ${code ?? "none"}`));
    });
  });
  if (!held) return undefined;
  return {
    release: async () => {
      holder.stdin.end();
      await ended;
    },
  };
}
