import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

import { readTimings } from "../progress.ts";
import type { RecordedRun } from "../progress.ts";
import { cacheRoot } from "../toolchain/paths.ts";
import { run } from "../toolchain/run.ts";
import { findPlatform } from "./context.ts";
import type { Context } from "./context.ts";
import { running } from "./inspect.ts";
import { trainingOverhead } from "./trainingOverhead.ts";
import type { Overhead } from "./trainingOverhead.ts";

/** What the Job may take as a multiple of the bare commands. */
const MOST_OVERHEAD = 1.05;

/** One measure against a bound. */
export interface Row {
  readonly measure: string;
  readonly ours: number;
  readonly unit: string;
  /** What the bound is taken from. */
  readonly against: string;
  /** What `ours` is divided by. */
  readonly bound: number;
  /** Highest ratio that is good: Infinity where the row is shown for comparison only. @default 1 */
  readonly most?: number;
  /** @default the bound itself */
  readonly target?: string;
}

/** `| measure | ours | against | ratio | target | ok |` */
export function renderRow({ measure, ours, unit, against, bound, most = 1, target }: Row): string {
  const ratio = ours / bound;
  const held = most < Infinity;
  const cells = [
    measure,
    `${ours.toFixed(Math.abs(ours) < 1 ? 2 : 1)} ${unit}`,
    against,
    ratio.toFixed(2),
    held ? (target ?? `≤ ${Number(bound.toFixed(1))} ${unit}`) : "",
    held ? (ratio <= most ? "ok" : "short") : "",
  ];
  return `| ${cells.join(" | ")} |`;
}

/** Prints the table: what was recorded, the program under the engine, and the platform where one runs. */
export async function bench(context: Context): Promise<void> {
  process.stdout.write(
    "| measure | ours | against | ratio | target | ok |\n|---|---|---|---|---|---|\n",
  );
  const print = (rows: readonly Row[]): void => {
    for (const row of rows) process.stdout.write(`${renderRow(row)}\n`);
  };
  print(recorded(readTimings(join(cacheRoot(), "timings.json")).runs));
  await programRows(context);
  if (findPlatform(context) === undefined) return;
  print(await engineRows(context));
  print(await imageRows(context));
  print(memoryRows(context.instance));
  print(await trainingRows(context));
}

/** What `bench/` measures needs no platform: tools of its own on PATH, and a control plane that it starts. */
async function programRows({ checkout, tools, folders }: Context): Promise<void> {
  mkdirSync(folders.logs, { recursive: true });
  const bins: string[] = [];
  for (const name of ["kubernetes", "pulumi"]) bins.push((await tools.ensure(name)).bin);
  const path = [dirname(process.execPath), ...bins, process.env["PATH"] ?? ""].join(delimiter);
  // The tests' control plane is no module of a package that says so.
  const flags = [...process.execArgv, "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"];
  const child = spawn(process.execPath, [...flags, join(checkout, "bench", "main.ts")], {
    cwd: checkout,
    env: { ...process.env, PATH: path },
    stdio: "inherit",
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error("bench/main.ts failed: see above");
}

/** The last `make local` of each kind. */
export function recorded(runs: readonly RecordedRun[]): Row[] {
  const bounds = { cold: 25, warm: 6, again: 1 } as const;
  return Object.entries(bounds).flatMap(([kind, bound]) => {
    const last = runs.findLast((each) => each.command === "make local" && each.kind === kind);
    if (last === undefined) return [];
    const measure = `make local, ${kind}`;
    return [{ measure, ours: last.seconds / 60, unit: "min", bound, against: "issue's bound" }];
  });
}

async function engineRows(context: Context): Promise<Row[]> {
  const { command, env } = await running(context);
  const stack = ["--stack", "local", "--config-file", context.folders.stackFile];
  const timed = async (what: string, args: string[]): Promise<number> => {
    const since = performance.now();
    await run(command, ["--non-interactive", ...args, ...stack], {
      what,
      cwd: context.checkout,
      env,
    });
    return (performance.now() - since) / 1000;
  };
  const up = ["up", "--yes", "--expect-no-changes"];
  const [bound, against] = [10, "issue's bound"];
  return [
    {
      measure: "pulumi up, nothing changed",
      ours: await timed("pulumi up", up),
      unit: "s",
      bound,
      against,
    },
    {
      measure: "pulumi preview, nothing changed",
      ours: await timed("pulumi preview", ["preview", "--expect-no-changes"]),
      unit: "s",
      bound,
      against,
    },
  ];
}

async function trainingRows(context: Context): Promise<Row[]> {
  const { env, outputs } = await running(context);
  return [overheadRow(await trainingOverhead(outputs.runId, env))];
}

/** The platform's training against LLaMA-Factory's own commands. */
export function overheadRow({ job, bare }: Overhead): Row {
  const against = `bare train and export, ${bare.toFixed(1)} s`;
  const measure = "training Job to complete model";
  const target = `≤ ${MOST_OVERHEAD} times`;
  return { measure, ours: job, unit: "s", against, bound: bare, most: MOST_OVERHEAD, target };
}

async function imageRows(context: Context): Promise<Row[]> {
  const { env } = await running(context);
  const format = "{{.Repository}}\t{{.Size}}";
  const listed = await run("docker", ["images", "--format", format], {
    what: "listing the images",
    env,
  });
  const bounds: Record<string, number> = {
    "llama-factory-train": 3,
    "llama-factory-inference": 4,
    mlflow: 1.5,
  };
  return listed.split("\n").flatMap((line) => {
    const [repository = "", size = ""] = line.split("\t");
    const name = repository.split("/").at(-1) ?? "";
    const bound = bounds[name];
    if (bound === undefined) return [];
    const against = "wheels unpacked, plus Debian";
    return [{ measure: `image ${name} (cpu)`, ours: gigabytes(size), unit: "GB", bound, against }];
  });
}

/** Memory of the platform's own processes, pods not counted. */
function memoryRows(instance: string): Row[] {
  const names = [
    ...["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"],
    ...["kube-proxy", "containerd", "dockerd", "docker-registry", "prometheus", "adapter"],
  ];
  let kib = 0;
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      const name = /^Name:\s+(\S+)/m.exec(status)?.[1] ?? "";
      if (!names.some((each) => each.startsWith(name) || name.startsWith(each))) continue;
      kib += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
    }
  }
  const measure = `memory of the cluster's own processes (all platforms here, ${instance} among them)`;
  return [
    { measure, ours: kib / 1024 ** 2, unit: "GiB", bound: 1.5, against: "1.25 GB, first notes" },
  ];
}

function gigabytes(size: string): number {
  const match = /^([\d.]+)\s*(kB|MB|GB)$/.exec(size);
  const scale = { kB: 1e-6, MB: 1e-3, GB: 1 }[match?.[2] ?? ""] ?? 0;
  return Number(match?.[1] ?? 0) * scale;
}
