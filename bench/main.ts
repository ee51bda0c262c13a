/** Measures the program under the real Pulumi engine, on a real API server: `make bench` starts it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { renderRow } from "../local/commands/bench.ts";
import type { Row } from "../local/commands/bench.ts";
import { ControlPlane } from "../tests/engine/support/controlPlane.ts";
import { playControllers } from "./controllers.ts";
import { measure, succeed } from "./measure.ts";
import type { Cost } from "./measure.ts";
import { kubectlDiff, renderProd } from "./peers.ts";
import { ROOT, makeStack, pulumiCommand, removeStack } from "./stack.ts";
import type { BenchStack } from "./stack.ts";

const RUNS = 3;
const SIZES = [1, 10, 50] as const;
const LARGE = 100;

/** The run that took the least CPU: what other work on the machine adds is left out as far as it can be. */
async function best(run: () => Promise<Cost>): Promise<Cost> {
  const costs: Cost[] = [];
  for (let count = 0; count < RUNS; count += 1) costs.push(await run());
  return costs.reduce((a, b) => (b.cpuSeconds < a.cpuSeconds ? b : a));
}

const previewOf = (stack: BenchStack): Promise<Cost> =>
  measure(pulumiCommand("preview", "--expect-no-changes"), { cwd: stack.folder, env: stack.env });

const upOf = (stack: BenchStack): Promise<Cost> =>
  measure(pulumiCommand("up", "--yes", "--skip-preview"), { cwd: stack.folder, env: stack.env });

async function programStart(): Promise<Row[]> {
  const script = [...process.execArgv, join(ROOT, "bench", "start.ts")];
  const times: number[] = [];
  for (let count = 0; count < RUNS; count += 1) {
    const at = { cwd: ROOT, env: process.env };
    times.push(Number(await succeed([process.execPath, ...script], at)));
  }
  const ours = Math.min(...times);
  const measureOf = "program start: index.ts to its first resource, CPU";
  return [{ measure: measureOf, ours, unit: "s", against: "issue's bound", bound: 1 }];
}

/** The unchanged stack `prod` against `kubectl diff` of the same Kubernetes objects, which runs no program. */
async function againstKubectl({ kubeconfig }: ControlPlane): Promise<Row[]> {
  const stack = await makeStack(kubeconfig);
  await upOf(stack);
  const ours = await best(() => previewOf(stack));
  await removeStack(stack);
  const rendered = await mkdtemp(join(tmpdir(), "llmops-bench-rendered-"));
  try {
    const objects = await renderProd(rendered);
    const { name, command, cwd, env } = await kubectlDiff(kubeconfig, rendered);
    const theirs = await best(() => measure(command, { cwd, env }));
    const row = (what: string, mine: number, bound: number): Row => ({
      measure: `preview of the unchanged prod, ${what}`,
      ours: mine,
      unit: "s",
      against: `\`${name}\` of the same ${String(objects)} objects: ${bound.toFixed(1)} s`,
      bound,
      target: "ratio ≤ 1.0",
    });
    return [
      row("wall clock", ours.seconds, theirs.seconds),
      row("CPU", ours.cpuSeconds, theirs.cpuSeconds),
    ];
  } finally {
    await rm(rendered, { recursive: true, force: true });
  }
}

interface Size {
  readonly models: number;
  readonly preview: Cost;
  readonly up: Cost;
}

async function size(plane: ControlPlane, models: number): Promise<Size> {
  const stack = await makeStack(plane.kubeconfig, models);
  const up = await upOf(stack);
  const preview = await best(() => previewOf(stack));
  await removeStack(stack);
  return { models, preview, up };
}

/** What a model costs: growth from the second size to the third, against that from the first to the second. */
function growthRows(sizes: readonly [Size, Size, Size]): Row[] {
  const [small, middle, large] = sizes;
  const figures: readonly (readonly [string, string, (size: Size) => number])[] = [
    ["preview, CPU", "s", ({ preview }) => preview.cpuSeconds],
    ["preview, memory of all processes", "MiB", ({ preview }) => preview.peakMiB],
    ["up, CPU", "s", ({ up }) => up.cpuSeconds],
  ];
  return figures.map(([what, unit, of]) => {
    const all = sizes.map((each) => of(each).toFixed(1)).join(", ");
    const per = (a: Size, b: Size): number => (of(b) - of(a)) / (b.models - a.models);
    const [first, second] = [per(small, middle), per(middle, large)];
    return {
      measure: `a model's share of ${what}, from 10 to 50 models`,
      ours: second,
      unit,
      against: `from 1 to 10: ${first.toFixed(2)} ${unit}; at 1, 10, 50: ${all}`,
      bound: first,
      target: "ratio ≤ 1.2",
      most: 1.2,
    };
  });
}

/** The first preview of a large stack: everything is planned on the API server, which is the most there can be. */
async function largeRows(plane: ControlPlane): Promise<Row[]> {
  const stack = await makeStack(plane.kubeconfig, LARGE);
  const at = { cwd: stack.folder, env: stack.env };
  const preview = await measure(pulumiCommand("preview"), at);
  await removeStack(stack);
  const row = (whose: string, ours: number): Row => ({
    measure: `preview of ${String(LARGE)} new models, memory of ${whose}`,
    ours,
    unit: "MiB",
    against: "issue's bound, 400 MB",
    bound: 400e6 / 1024 ** 2,
  });
  return [
    row("the program (resident)", preview.programMiB),
    row("all processes with engine and plugins (PSS)", preview.peakMiB),
  ];
}

function print(rows: readonly Row[]): void {
  for (const row of rows) process.stdout.write(`${renderRow(row)}\n`);
}

const over = new AbortController();
const plane = await ControlPlane.start();
try {
  const playing = playControllers(plane, over.signal);
  print(await programStart());
  print(await againstKubectl(plane));
  const [one, ten, fifty] = [
    await size(plane, SIZES[0]),
    await size(plane, SIZES[1]),
    await size(plane, SIZES[2]),
  ];
  print(growthRows([one, ten, fifty]));
  print(await largeRows(plane));
  over.abort();
  await playing;
} finally {
  over.abort();
  await plane.stop();
}
