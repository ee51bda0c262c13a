import { join } from "node:path";
import { childOf, liveAnchor } from "../../local/cluster/anchor.ts";
import { clusterPaths, network } from "../../local/cluster/options.ts";
import { METRICS } from "../../workloads/monitoring/metrics";
import { ROOT } from "../support/program";
import type { Outputs } from "./support/models";
import { answer, lesson, readNodeAddress, readOutputs } from "./support/models";
import { eventually, run } from "./support/platform";

const MINUTES = 60_000;

/** What a server exports by itself. */
const VLLM = Object.values(METRICS).filter(({ source }) => source === "vllm");

/** What the platform's Prometheus has: no kube-state-metrics, volume figures or GPUs are there to ask. */
const SCRAPED = [METRICS.up, METRICS.containerCpu, METRICS.containerMemory, ...VLLM];

let nodeAddress: string;
let outputs: Outputs;

beforeAll(async () => {
  nodeAddress = await readNodeAddress();
  outputs = await readOutputs();
  await answer({ nodeAddress, outputs, name: "lumen7" }, lesson.question);
}, 2 * MINUTES);

/** Runs PromQL in the platform's Prometheus, which listens inside of the cluster's network only. */
async function query(promql: string): Promise<readonly { readonly metric: object }[]> {
  const anchor = liveAnchor(clusterPaths(join(ROOT, ".local")).clusterAnchor);
  const inner = anchor && childOf(anchor.pid);
  if (inner === undefined) throw new Error("the platform does not run");
  const address = `http://127.0.0.1:${String(network.prometheusPort)}/api/v1/query`;
  const url = `${address}?query=${encodeURIComponent(promql)}`;
  const script = `fetch(${JSON.stringify(url)}).then((r) => r.text()).then((t) => process.stdout.write(t))`;
  const enter = ["--target", String(inner), "--net", "--"];
  const text = await run(ROOT, "nsenter", ...enter, process.execPath, "-e", script);
  const body = JSON.parse(text) as { data?: { result: { metric: object }[] } };
  if (body.data === undefined) throw new Error(`${promql}: ${text}`);
  return body.data.result;
}

test(
  "the model server exports every metric that panels and alerts read of it",
  async () => {
    const port = outputs.endpoints.models["lumen7"]?.nodePort;
    const response = await fetch(`http://${nodeAddress}:${String(port)}/metrics`);
    const kinds = new Map(
      [...(await response.text()).matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(
        ([, name = "", kind = ""]) => [name, kind],
      ),
    );
    for (const { name, kind } of VLLM) expect([name, kinds.get(name)]).toEqual([name, kind]);
  },
  MINUTES,
);

test(
  "Prometheus has them, as series of the namespace and its pods",
  async () => {
    for (const { name, kind } of SCRAPED) {
      const series = kind === "histogram" ? `${name}_bucket` : name;
      const found = await eventually(series, 60, async () => {
        const result = await query(`${series}{namespace="llmops", pod!=""}`);
        return result.length > 0 ? result : undefined;
      });
      if (name.startsWith("vllm:")) expect(found[0]?.metric).toHaveProperty("model_name");
    }
  },
  5 * MINUTES,
);
