import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";

import { recall, recorded, startTimeOf } from "../toolchain/process.ts";
import type { ProcessRecord } from "../toolchain/process.ts";
import { until } from "./poll.ts";

/** A process that holds namespaces: when it ends, by whatever means, the kernel ends everything in them. */
export type Anchor = ProcessRecord;

/** How an anchor is started. */
export interface AnchorOptions {
  /** Where the anchor is remembered. */
  readonly file: string;
  /** Locked for as long as anything in the anchor lives. */
  readonly lock: string;
  readonly log: string;
  /** Namespaces of its own, besides those of mounts and processes: `net`, `uts`, `ipc`. */
  readonly namespaces: readonly string[];
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** Starts an anchor. @throws when somebody else holds the lock. */
export async function startAnchor(options: AnchorOptions): Promise<Anchor> {
  for (const file of [options.file, options.lock, options.log]) {
    mkdirSync(dirname(file), { recursive: true });
  }
  const log = openSync(options.log, "a");
  const namespaces = ["mount", "pid", ...options.namespaces].map((name) => `--${name}`);
  const unshare = ["unshare", ...namespaces, "--propagation", "private", "--mount-proc"];
  const lock = ["--exclusive", "--nonblock", "--no-fork", "--conflict-exit-code", "75"];
  const command = [...unshare, "--fork", "--kill-child", ...options.command];
  const child = spawn("flock", [...lock, options.lock, ...recorded(options.file, command)], {
    detached: true,
    stdio: ["ignore", log, log],
    cwd: "/",
    env: options.env,
  });
  closeSync(log);
  let ended: string | undefined;
  child.once("error", (error) => (ended = error.message));
  child.once("exit", (code) => {
    ended =
      code === 75 ? `${options.lock} is held by another platform` : `exit code ${code ?? "?"}`;
  });
  child.unref();
  const anchor = await until("the cluster's namespaces", 10, () => {
    if (ended !== undefined || child.pid === undefined) return { failed: ended ?? "not started" };
    const started = liveAnchor(options.file);
    return started === undefined || childOf(started.pid) === undefined ? undefined : started;
  });
  if ("failed" in anchor)
    throw new Error(`cannot start ${options.file}: ${anchor.failed}; see ${options.log}`);
  return anchor;
}

/** The remembered anchor, if it is still alive. */
export function liveAnchor(file: string): Anchor | undefined {
  return recall(file);
}

/** Ends an anchor and with it everything inside, at once. */
export async function killAnchor(file: string): Promise<void> {
  const anchor = liveAnchor(file);
  if (anchor !== undefined) {
    const inner = childOf(anchor.pid);
    process.kill(anchor.pid, "SIGKILL");
    await until(`the end of process ${anchor.pid}`, 30, () => {
      const gone = [anchor.pid, inner].every(
        (pid) => pid === undefined || startTimeOf(pid) === undefined,
      );
      return gone ? true : undefined;
    });
  }
  rmSync(file, { force: true });
}

/** The first process inside an anchor, as the machine numbers it. */
export function childOf(pid: number): number | undefined {
  const file = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(file)) return undefined;
  const first = Number(readFileSync(file, "utf8").split(" ")[0]);
  return first > 0 ? first : undefined;
}
