/** Measures the program under the real Pulumi engine, on a real API server: `make bench` starts it. */
import { join } from "node:path";

import { renderRow } from "../local/commands/bench.ts";
import type { Row } from "../local/commands/bench.ts";
import { ControlPlane } from "../tests/engine/support/controlPlane.ts";
import { playControllers } from "./controllers.ts";
import { measure, succeed } from "./measure.ts";
import type { Cost } from "./measure.ts";
import { withTofuPlan } from "./peers.ts";
import {
  ROOT,
  makeBareStack,
  makeStack,
  pulumiCommand,
  removeStack,
  resourcesOf,
} from "./stack.ts";
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

/** Previews of the unchanged stack `prod`, and of a stack without resources, which is the least there can be. */
async function unchanged({ kubeconfig }: ControlPlane): Promise<readonly [Cost, Cost]> {
  const costs: Cost[] = [];
  for (const stack of [await makeStack(kubeconfig), await makeBareStack(kubeconfig, 0)]) {
    await upOf(stack);
    costs.push(await best(() => previewOf(stack)));
    await removeStack(stack);
  }
  const [ours, floor] = costs;
  if (ours === undefined || floor === undefined) throw new Error("not measured");
  return [ours, floor];
}

/** The unchanged stack `prod` against `tofu plan` of the same Kubernetes objects, which runs no program. */
async function againstTofu(plane: ControlPlane): Promise<Row[]> {
  const [ours, floor] = await unchanged(plane);
  const rows: Row[] = [];
  for (const encrypted of [false, true]) {
    await withTofuPlan(plane.kubeconfig, { encrypted }, async ({ objects, command, cwd, env }) => {
      const theirs = await best(() => measure(command, { cwd, env }));
      const name = encrypted ? "`tofu plan`, its state encrypted as ours is," : "`tofu plan`";
      const row = (whose: string, mine: Cost, [what, unit, of]: Figure): Row => ({
        measure: `preview of ${whose}, ${what}`,
        ours: of(mine),
        unit,
        against: `${name} of the same ${String(objects)} objects: ${of(theirs).toFixed(1)} ${unit}`,
        bound: of(theirs),
        target: "ratio ≤ 1.0",
      });
      for (const figure of [WALL, CPU, MEMORY]) rows.push(row("the unchanged prod", ours, figure));
      if (encrypted) return;
      for (const figure of [WALL, CPU]) rows.push(row("a program of no resources", floor, figure));
    });
  }
  return rows;
}

/** A figure of a cost: what it is, its unit, and where it is found. */
type Figure = readonly [string, string, (cost: Cost) => number];

const WALL: Figure = ["wall clock", "s", ({ seconds }) => seconds];
const CPU: Figure = ["CPU", "s", ({ cpuSeconds }) => cpuSeconds];
const MEMORY: Figure = ["memory of all processes", "MiB", ({ peakMiB }) => peakMiB];
const PROGRAM: Figure = ["memory of the program", "MiB", ({ programMiB }) => programMiB];
const NOT_ENGINE: Figure = [
  "CPU of program and plugins",
  "s",
  ({ cpuSeconds, ownSeconds }) => cpuSeconds - ownSeconds,
];

interface Size {
  readonly models: number;
  readonly resources: number;
  readonly preview: Cost;
  readonly up: Cost;
}

async function size(stack: BenchStack, models: number): Promise<Size> {
  const up = await upOf(stack);
  const preview = await best(() => previewOf(stack));
  const resources = await resourcesOf(stack);
  await removeStack(stack);
  return { models, resources, preview, up };
}

/** What a model costs: growth from the second size to the third, against that from the first to the second. */
function growthRows(whose: string, sizes: readonly Size[], held: boolean): Row[] {
  const [small, middle, large] = sizes;
  if (small === undefined || middle === undefined || large === undefined) return [];
  const row = (of: "preview" | "up", [what, unit, figure]: Figure): Row => {
    const all = sizes.map((each) => figure(each[of]).toFixed(1)).join(", ");
    const per = (a: Size, b: Size): number =>
      (figure(b[of]) - figure(a[of])) / (b.models - a.models);
    const [first, second] = [per(small, middle), per(middle, large)];
    return {
      measure: `${whose} share of ${of}, ${what}, from 10 to 50 models`,
      ours: second,
      unit,
      against: `from 1 to 10: ${first.toFixed(2)} ${unit}; at 1, 10, 50: ${all}`,
      bound: first,
      target: "ratio ≤ 1.2",
      most: held ? 1.2 : Infinity,
    };
  };
  return [
    ...[CPU, NOT_ENGINE, MEMORY, PROGRAM].map((figure) => row("preview", figure)),
    ...[CPU, NOT_ENGINE].map((figure) => row("up", figure)),
  ];
}

/** The program at each size, then a program of as many ConfigMaps: its growth is Pulumi's own. */
async function growth({ kubeconfig }: ControlPlane): Promise<Row[]> {
  const sizes: Size[] = [];
  const bare: Size[] = [];
  for (const models of SIZES) {
    const ours = await size(await makeStack(kubeconfig, models), models);
    sizes.push(ours);
    bare.push(await size(await makeBareStack(kubeconfig, ours.resources), models));
  }
  return [
    ...growthRows("a model's", sizes, true),
    ...growthRows("as many ConfigMaps'", bare, false),
  ];
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

const plane = await ControlPlane.start();
const over = new AbortController();
const playing = playControllers(plane, over.signal);
try {
  print(await programStart());
  print(await againstTofu(plane));
  print(await growth(plane));
  print(await largeRows(plane));
} finally {
  over.abort();
  await playing;
  await plane.stop();
}
