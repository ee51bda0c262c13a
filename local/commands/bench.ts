import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { readTimings } from "../progress.ts";
import type { RecordedRun } from "../progress.ts";
import { cacheRoot } from "../toolchain/paths.ts";
import { run } from "../toolchain/run.ts";
import type { Context } from "./context.ts";
import { running } from "./inspect.ts";
import { trainingOverhead } from "./trainingOverhead.ts";
import type { Overhead } from "./trainingOverhead.ts";

/** One measure against its target; a ratio of 1 or less is good. */
export interface Row {
  readonly measure: string;
  readonly ours: number;
  readonly unit: string;
  readonly target: number;
  /** What the target is taken from. */
  readonly against: string;
}

/** `| measure | ours | against | ratio | target | ok |` */
export function renderRow({ measure, ours, unit, target, against }: Row): string {
  const ratio = ours / target;
  const cells = [
    measure,
    `${ours.toFixed(1)} ${unit}`,
    against,
    ratio.toFixed(2),
    `≤ ${target} ${unit}`,
    ratio <= 1 ? "ok" : "short",
  ];
  return `| ${cells.join(" | ")} |`;
}

/** Measures the running platform and prints the table. */
export async function bench(context: Context): Promise<void> {
  const rows = [
    ...recorded(readTimings(join(cacheRoot(), "timings.json")).runs),
    ...(await engineRows(context)),
    ...(await imageRows(context)),
    ...memoryRows(context.instance),
    ...(await trainingRows(context)),
  ];
  const head = "| measure | ours | against | ratio | target | ok |\n|---|---|---|---|---|---|";
  process.stdout.write(`${head}\n${rows.map(renderRow).join("\n")}\n`);
}

/** The last `make local` of each kind. */
export function recorded(runs: readonly RecordedRun[]): Row[] {
  const targets = { cold: 25, warm: 6, again: 1 } as const;
  return Object.entries(targets).flatMap(([kind, target]) => {
    const last = runs.findLast((each) => each.command === "make local" && each.kind === kind);
    if (last === undefined) return [];
    const measure = `make local, ${kind}`;
    return [{ measure, ours: last.seconds / 60, unit: "min", target, against: "issue's bound" }];
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
  const [target, against] = [10, "issue's bound"];
  return [
    {
      measure: "pulumi up, nothing changed",
      ours: await timed("pulumi up", up),
      unit: "s",
      target,
      against,
    },
    {
      measure: "pulumi preview, nothing changed",
      ours: await timed("pulumi preview", ["preview", "--expect-no-changes"]),
      unit: "s",
      target,
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
  const against = `bare train and export ${bare.toFixed(1)} s, times 1.05`;
  const target = Math.round(bare * 10.5) / 10;
  return { measure: "training Job to complete model", ours: job, unit: "s", target, against };
}

async function imageRows(context: Context): Promise<Row[]> {
  const { env } = await running(context);
  const format = "{{.Repository}}\t{{.Size}}";
  const listed = await run("docker", ["images", "--format", format], {
    what: "listing the images",
    env,
  });
  const targets: Record<string, number> = {
    "llama-factory-train": 3,
    "llama-factory-inference": 4,
    mlflow: 1.5,
  };
  return listed.split("\n").flatMap((line) => {
    const [repository = "", size = ""] = line.split("\t");
    const name = repository.split("/").at(-1) ?? "";
    const target = targets[name];
    if (target === undefined) return [];
    const against = "wheels unpacked, plus Debian";
    return [{ measure: `image ${name} (cpu)`, ours: gigabytes(size), unit: "GB", target, against }];
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
    { measure, ours: kib / 1024 ** 2, unit: "GiB", target: 1.5, against: "1.25 GB, first notes" },
  ];
}

function gigabytes(size: string): number {
  const match = /^([\d.]+)\s*(kB|MB|GB)$/.exec(size);
  const scale = { kB: 1e-6, MB: 1e-3, GB: 1 }[match?.[2] ?? ""] ?? 0;
  return Number(match?.[1] ?? 0) * scale;
}
