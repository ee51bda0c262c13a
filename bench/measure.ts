import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";

import { until } from "../local/cluster/poll.ts";

/** What a command with all that it starts has cost. */
export interface Cost {
  /** Wall clock. */
  readonly seconds: number;
  /** CPU of all processes, those that were killed at the end too. */
  readonly cpuSeconds: number;
  /** The part of it that the command's own process had, 100 ms before its end: for Pulumi's CLI, the engine's. */
  readonly ownSeconds: number;
  /** Highest sum of the processes' proportional set sizes, looked at ten times a second. */
  readonly peakMiB: number;
  /** Highest resident set of the process that runs the Pulumi program; 0 where there is none. */
  readonly programMiB: number;
}

const ROOT = "/sys/fs/cgroup";

/** Runs a command in a control group of its own, which counts the CPU of processes that nobody waits for too. */
export async function measure(
  command: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<Cost> {
  const version2 = existsSync(join(ROOT, "cgroup.controllers"));
  const group = join(ROOT, version2 ? "" : "cpuacct", `llmops-bench-${process.pid}`);
  const procs = join(group, "cgroup.procs");
  mkdirSync(group);
  let [peak, program, ownSeconds, pid] = [0, 0, 0, 0];
  const look = setInterval(() => {
    const members = readFileSync(procs, "utf8").trim().split("\n").map(memory);
    ownSeconds = Math.max(ownSeconds, cpuOf(pid));
    peak = Math.max(
      peak,
      members.reduce((sum, { pss }) => sum + pss, 0),
    );
    program = Math.max(program, ...members.map((each) => (each.isProgram ? each.peak : 0)));
  }, 100);
  try {
    const since = performance.now();
    const inGroup = ["/bin/sh", "-c", `echo $$ > ${procs} && exec "$@"`, "sh", ...command];
    await succeed(inGroup, options, (started) => (pid = started));
    const seconds = (performance.now() - since) / 1000;
    await until("the end of all that the command has started", 30, () =>
      readFileSync(procs, "utf8") === "" ? true : undefined,
    );
    const cpuSeconds = version2
      ? Number(/^usage_usec (\d+)/m.exec(readFileSync(join(group, "cpu.stat"), "utf8"))?.[1]) / 1e6
      : Number(readFileSync(join(group, "cpuacct.usage"), "utf8")) / 1e9;
    return { seconds, cpuSeconds, ownSeconds, peakMiB: peak / 1024, programMiB: program / 1024 };
  } finally {
    clearInterval(look);
    rmdirSync(group);
  }
}

/** Runs a command to its end; fails with what it printed. `started` is told its process id. */
export function succeed(
  [command = "", ...args]: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
  started?: (pid: number) => void,
): Promise<string> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    if (child.pid !== undefined) started?.(child.pid);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString("utf8")));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString("utf8")));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) done(stdout);
      else
        reject(
          new Error(`${args.slice(-6).join(" ")}: exit code ${code ?? -1}\n${stdout}${stderr}`),
        );
    });
  });
}

interface Memory {
  readonly pss: number;
  readonly peak: number;
  readonly isProgram: boolean;
}

/** CPU of a process without its children; nothing where it has ended. */
function cpuOf(pid: number): number {
  return unlessEnded(0, () => {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
    // User and system time in hundredths, behind the name, which may hold anything.
    const [user, system] = stat.slice(stat.lastIndexOf(")")).split(" ").slice(12, 14).map(Number);
    return ((user ?? 0) + (system ?? 0)) / 100;
  });
}

/** Memory of a process in KiB; nothing where it has ended. */
function memory(pid: string): Memory {
  return unlessEnded({ pss: 0, peak: 0, isProgram: false }, () => {
    const read = (file: string): string => readFileSync(join("/proc", pid, file), "utf8");
    const kib = (text: string, field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
    return {
      pss: kib(read("smaps_rollup"), "Pss"),
      peak: kib(read("status"), "VmHWM"),
      isProgram: read("cmdline").includes("@pulumi/pulumi/cmd/run"),
    };
  });
}

function unlessEnded<T>(otherwise: T, look: () => T): T {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && "code" in error) return otherwise;
    throw error;
  }
}
