import { readdirSync, readFileSync } from "node:fs";

import { until } from "../cluster/poll.ts";
import { startTimeOf } from "./process.ts";

const MARK = "LLMOPS_STARTED_FOR";
const END_SECONDS = 30;

/** From now on, whatever this process starts can be told to belong to an instance, however far down it is started. */
export function markProcesses(instance: string): void {
  process.env[MARK] = instance;
}

/**
 * Ends whatever was started for an instance and still runs: what a `make local` that was killed had no time to end or
 * to write down, such as compilers, `pulumi` and its plugins.
 */
export async function endLeftovers(instance: string): Promise<void> {
  await until("the end of what was started for this platform", END_SECONDS, () => {
    const running = startedFor(instance);
    for (const pid of running) process.kill(pid, "SIGKILL");
    return running.length === 0 ? true : undefined;
  });
}

/** Processes with the instance's mark in the environment that they were started with. */
export function startedFor(instance: string): number[] {
  const mark = `${MARK}=${instance}`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => startTimeOf(pid) !== undefined && environment(pid).includes(mark));
}

function environment(pid: number): string[] {
  try {
    return readFileSync(`/proc/${String(pid)}/environ`, "utf8").split("\0");
  } catch {
    // Nothing but reading can fail: it has ended in the meantime, or is another user's.
    return [];
  }
}
