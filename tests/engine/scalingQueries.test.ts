import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { stringify } from "yaml";
import { FRONT_DOOR_COUNTERS, scalingQueries } from "../../workloads/keda";
import { modelOf } from "../support/settings";

const execute = promisify(execFile);
const promtool = join(process.env["LLMOPS_DEBS_ROOT"] ?? "/", "usr/bin/promtool");
const { waiting, wanted } = scalingQueries(modelOf(), "llmops");

/** Series as the servers' pods give them; values a quarter of a minute apart. */
const series = {
  waiting: (pod: string, model = "base", namespace = "llmops") =>
    `vllm:num_requests_waiting{namespace="${namespace}", pod="${pod}", model_name="${model}"}`,
  running: (pod: string) =>
    `vllm:num_requests_running{namespace="llmops", pod="${pod}", model_name="base"}`,
  door: (what: keyof typeof FRONT_DOOR_COUNTERS, pod: string, model = "base") =>
    `${FRONT_DOOR_COUNTERS[what]}{namespace="llmops", pod="${pod}", envoy_cluster_name="model-${model}"}`,
};

interface Case {
  readonly expr: string;
  readonly input: Readonly<Record<string, string>>;
  /** The one value after five minutes; undefined where there is none. */
  readonly value: number | undefined;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "llmops-queries-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test.each<[string, Case]>([
  [
    "the queue is that of all replicas, and of no other model or stack",
    {
      expr: waiting,
      input: {
        [series.waiting("a")]: "3x20",
        [series.waiting("b")]: "4x20",
        [series.waiting("c", "other")]: "100x20",
        [series.waiting("d", "base", "other")]: "100x20",
      },
      value: 7,
    },
  ],
  ["a model without pods has no queue", { expr: waiting, input: {}, value: undefined }],
  ["nothing is known of it: not wanted", { expr: wanted, input: {}, value: 0 }],
  [
    "nobody asks: not wanted",
    {
      expr: wanted,
      input: {
        [series.running("a")]: "0x20",
        [series.door("tried", "d")]: "9x20",
        [series.door("lost", "d")]: "2x20",
        [series.door("lost", "d", "other")]: "0+1x20",
      },
      value: 0,
    },
  ],
  [
    "one request that no pod could take, by one of two front doors: wanted",
    {
      expr: wanted,
      input: {
        [series.door("lost", "d")]: "0x17 1x3",
        [series.door("lost", "e")]: "0x20",
      },
      value: 1,
    },
  ],
  [
    "a request more than two minutes ago: not wanted",
    { expr: wanted, input: { [series.door("tried", "d")]: "0x10 1x10" }, value: 0 },
  ],
  [
    "a long answer that was asked for past the front door: wanted",
    { expr: wanted, input: { [series.running("a")]: "1x20" }, value: 1 },
  ],
  [
    "many requests: no more than wanted",
    { expr: wanted, input: { [series.door("tried", "d")]: "0+40x20" }, value: 1 },
  ],
])("%s", async (_, { expr, input, value }) => {
  const file = join(folder, "test.yaml");
  const samples = value === undefined ? [] : [{ labels: "{}", value }];
  const one = {
    interval: "15s",
    input_series: Object.entries(input).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [{ expr, eval_time: "5m", exp_samples: samples }],
  };
  writeFileSync(file, stringify({ evaluation_interval: "15s", tests: [one] }));
  // It tells what it found on standard output, which an error of execFile does not quote.
  const outcome = await execute(promtool, ["test", "rules", file]).catch(
    (error: unknown) => error as { stdout: string; stderr: string },
  );
  expect(`${outcome.stdout}${outcome.stderr}`).toContain("SUCCESS");
});
