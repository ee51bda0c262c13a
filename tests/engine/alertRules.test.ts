import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { stringify } from "yaml";
import { until } from "../../local/cluster/poll.ts";
import { alertRules } from "../../workloads/monitoring/alerts";
import { dashboards } from "../../workloads/monitoring/dashboards";
import { monitoringObjects } from "../../workloads/monitoring/objects";
import { freePort } from "../support/ports";
import { ServerProcess, loopback } from "../support/servers/server";
import { settingsOf, trainingTree } from "../support/settings";

const execute = promisify(execFile);

const SETTINGS = settingsOf({ ...trainingTree(), monitoring: { enabled: true } });
const RULES = alertRules(SETTINGS).groups.flatMap(({ rules }) => rules);

/** Values of a series, a minute apart, as promtool writes them. */
type Input = Readonly<Record<string, string>>;

interface Case {
  /** Series with which it fires after an hour. */
  readonly fires: Input;
  /** Series with which it does not. */
  readonly quiet: Input;
  /** Labels of the alert besides its severity. */
  readonly labels: Input;
  readonly summary: string;
}

const NS = 'namespace="llmops"';
const POD = `${NS}, pod="llama-factory-inference-tuned-6c4d-x2x9z"`;
const ALL = `${POD}, job="pods", instance="10.0.0.1:8000"`;
const ENGINE = `${ALL}, model_name="tuned", engine="0"`;
const DEPLOYMENT = `${NS}, deployment="llama-factory-inference-tuned"`;
const SUM = { namespace: "llmops", model_name: "tuned" };
const POD_SUM = { namespace: "llmops", pod: "llama-factory-inference-tuned-6c4d-x2x9z" };
const bucket = (le: string): string =>
  `vllm:time_to_first_token_seconds_bucket{${ENGINE}, le="${le}"}`;
const answers = (status: string): string =>
  `http_requests_total{${ALL}, handler="/v1/chat/completions", method="POST", status="${status}"}`;
const volume = (what: string): string =>
  `kubelet_volume_stats_${what}_bytes{${NS}, persistentvolumeclaim="mlflow-pvc"}`;
const job = (condition: string): string =>
  `kube_job_failed{${NS}, job_name="llama-factory-train-0123456789", condition="${condition}"}`;

const CASES: Readonly<Record<string, Case>> = {
  LlmopsModelServerDown: {
    fires: { [`up{${ALL}}`]: "1x40 0x20" },
    // Another namespace's, and a server that has been loading its model from the start.
    quiet: {
      [`up{${ALL}}`]: "0x60",
      'up{namespace="other", pod="llama-factory-inference-a-b-c"}': "1x40 0x20",
    },
    labels: { ...POD_SUM, job: "pods", instance: "10.0.0.1:8000" },
    summary: "Model server llama-factory-inference-tuned-6c4d-x2x9z has stopped answering.",
  },
  LlmopsModelNotServed: {
    fires: {
      [`kube_deployment_status_replicas_available{${DEPLOYMENT}}`]: "0x60",
      [`kube_deployment_spec_replicas{${DEPLOYMENT}}`]: "1x60",
    },
    quiet: {
      [`kube_deployment_status_replicas_available{${DEPLOYMENT}}`]: "0x60",
      [`kube_deployment_spec_replicas{${DEPLOYMENT}}`]: "0x60",
    },
    labels: { namespace: "llmops", deployment: "llama-factory-inference-tuned" },
    summary: "No replica of llama-factory-inference-tuned is ready.",
  },
  LlmopsModelQueueLong: {
    fires: { [`vllm:num_requests_waiting{${ENGINE}}`]: "25x60" },
    quiet: { [`vllm:num_requests_waiting{${ENGINE}}`]: "25x50 20x10" },
    labels: SUM,
    summary: "25 requests a replica wait for model tuned.",
  },
  LlmopsModelFirstTokenSlow: {
    fires: { [bucket("10.0")]: "0x60", [bucket("20.0")]: "0+60x60", [bucket("+Inf")]: "0+60x60" },
    quiet: {
      [bucket("10.0")]: "0+60x60",
      [bucket("20.0")]: "0+60x60",
      [bucket("+Inf")]: "0+60x60",
    },
    labels: SUM,
    summary: "One request in twenty to model tuned waits 19.5 s for its first token.",
  },
  LlmopsModelCacheFull: {
    fires: { [`vllm:kv_cache_usage_perc{${ENGINE}}`]: "0.99x60" },
    quiet: { [`vllm:kv_cache_usage_perc{${ENGINE}}`]: "0.9x60" },
    labels: SUM,
    summary: "The KV cache of model tuned is 99% full.",
  },
  LlmopsModelErrors: {
    fires: { [answers("2xx")]: "0+90x60", [answers("5xx")]: "0+10x60" },
    quiet: { [answers("2xx")]: "0+90x60", [answers("4xx")]: "0+90x60", [answers("5xx")]: "0+1x60" },
    labels: POD_SUM,
    summary: "10% of the answers of llama-factory-inference-tuned-6c4d-x2x9z are errors.",
  },
  LlmopsTrainingFailed: {
    fires: { [job("true")]: "1x60", [job("false")]: "0x60" },
    quiet: { [job("true")]: "0x60", [job("false")]: "1x60" },
    labels: {
      namespace: "llmops",
      job_name: "llama-factory-train-0123456789",
      condition: "true",
    },
    summary: "Training Job llama-factory-train-0123456789 has failed.",
  },
  LlmopsMlflowDown: {
    fires: {
      [`kube_deployment_status_replicas_available{${NS}, deployment="mlflow"}`]: "0x60",
      [`kube_deployment_spec_replicas{${NS}, deployment="mlflow"}`]: "1x60",
    },
    quiet: {
      [`kube_deployment_status_replicas_available{${NS}, deployment="mlflow"}`]: "0x57 1x3",
      [`kube_deployment_spec_replicas{${NS}, deployment="mlflow"}`]: "1x60",
    },
    labels: { namespace: "llmops", deployment: "mlflow" },
    summary: "MLflow is not ready; runs go on and report to it later.",
  },
  LlmopsVolumeNearlyFull: {
    fires: { [volume("available")]: "5x60", [volume("capacity")]: "100x60" },
    quiet: { [volume("available")]: "20x60", [volume("capacity")]: "100x60" },
    labels: { namespace: "llmops", persistentvolumeclaim: "mlflow-pvc" },
    summary: "Volume mlflow-pvc has 5% of its space left.",
  },
};

/** Folder of Debian's Prometheus, where the platform's packages are unpacked. */
const bin = (name: string): string => join(process.env["LLMOPS_DEBS_ROOT"] ?? "/", "usr/bin", name);

let folder: string;
let ruleFile: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "llmops-rules-"));
  ruleFile = join(folder, "llmops-alerts.yaml");
  const { configMaps } = monitoringObjects(SETTINGS);
  writeFileSync(ruleFile, configMaps["llmops-alerts"]?.data["llmops-alerts.yaml"] ?? "");
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Gives Prometheus's own test tool series and the alerts to expect of them after an hour. */
async function promtool(alert: string, input: Input, expected: object[]): Promise<void> {
  const file = join(folder, `${alert}-${String(expected.length)}.yaml`);
  const test = {
    rule_files: [ruleFile],
    evaluation_interval: "1m",
    tests: [
      {
        interval: "1m",
        input_series: Object.entries(input).map(([series, values]) => ({ series, values })),
        alert_rule_test: [{ eval_time: "1h", alertname: alert, exp_alerts: expected }],
      },
    ],
  };
  writeFileSync(file, stringify(test));
  // It tells what it found on standard output, which an error of execFile does not quote.
  const outcome = await execute(bin("promtool"), ["test", "rules", file]).catch(
    (error: unknown) => error as { stdout: string; stderr: string },
  );
  expect(`${outcome.stdout}${outcome.stderr}`).toContain("SUCCESS");
}

test("every alert has a case, and every case an alert", () => {
  expect(Object.keys(CASES)).toEqual(RULES.map(({ alert }) => alert));
});

describe.each(RULES)("$alert", ({ alert, annotations, labels: { severity } }) => {
  test("fires when it should", async () => {
    const { fires, labels, summary } = CASES[alert] ?? fail(alert);
    await promtool(alert, fires, [
      {
        exp_labels: { ...labels, severity },
        exp_annotations: { ...annotations, summary },
      },
    ]);
  });

  test("and only then", async () => {
    await promtool(alert, (CASES[alert] ?? fail(alert)).quiet, []);
  });
});

function fail(alert: string): never {
  throw new Error(`no case for ${alert}`);
}

describe("a real Prometheus", () => {
  let server: ServerProcess;
  let url: string;

  beforeAll(async () => {
    const port = await freePort();
    url = `http://127.0.0.1:${String(port)}/api/v1`;
    const config = join(folder, "prometheus.yaml");
    writeFileSync(
      config,
      stringify({ global: { evaluation_interval: "1s" }, rule_files: [ruleFile] }),
    );
    server = await ServerProcess.start({ place: loopback, port, folder }, [
      bin("prometheus"),
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${String(port)}`,
    ]);
  }, 60_000);
  afterAll(() => server.stop());

  async function get<T>(path: string): Promise<T> {
    const response = await fetch(`${url}/${path}`);
    const body = (await response.json()) as { status: string; error?: string; data: T };
    if (body.status !== "success") throw new Error(`${path}: ${body.error ?? body.status}`);
    return body.data;
  }

  test("loads the rules and evaluates them without an error", async () => {
    interface Rule {
      readonly name: string;
      readonly health: string;
    }
    const rules = await until("the first evaluation", 30, async () => {
      const { groups } = await get<{ groups: { rules: Rule[] }[] }>("rules");
      const found = groups.flatMap((group) => group.rules);
      return found.length > 0 && found.every(({ health }) => health !== "unknown")
        ? found
        : undefined;
    });
    expect(rules.map(({ name, health }) => [name, health])).toEqual(
      RULES.map(({ alert }) => [alert, "ok"]),
    );
  }, 60_000);

  test.each(Object.entries(dashboards("llmops")))(
    "understands every panel of the dashboard %s",
    async (_, { panels }) => {
      for (const { expr } of panels.flatMap(({ queries }) => queries)) {
        const query = expr.replaceAll("$model", ".*");
        expect(await get<object>(`query?query=${encodeURIComponent(query)}`)).toMatchObject({
          result: [],
        });
      }
    },
  );
});
