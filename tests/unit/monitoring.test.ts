import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { alertRules } from "../../workloads/monitoring/alerts";
import { dashboardUid, dashboards } from "../../workloads/monitoring/dashboards";
import { dashboardJson } from "../../workloads/monitoring/grafana";
import { METRICS } from "../../workloads/monitoring/metrics";
import { monitoringObjects } from "../../workloads/monitoring/objects";
import { ROOT } from "../support/program";
import { settingsOf, trainingTree, validTree } from "../support/settings";

const settings = (monitoring: object = {}, tree = trainingTree()) =>
  settingsOf({ ...tree, monitoring: { enabled: true, ...monitoring } });

const rules = (...args: Parameters<typeof settings>) =>
  alertRules(settings(...args)).groups.flatMap((group) => group.rules);

/** PromQL of every panel and alert. */
const expressions = [
  ...rules().map(({ expr }) => expr),
  ...Object.values(dashboards("llmops")).flatMap(({ panels, variables }) => [
    ...panels.flatMap(({ queries }) => queries.map(({ expr }) => expr)),
    ...variables.map(({ series }) => series),
  ]),
];

/** Names of series that PromQL reads: all of ours have matchers. */
const read = new Set(
  expressions.flatMap((expr) => [...expr.matchAll(/([\w:]+)\{/g)].map(([, name]) => name ?? "")),
);

describe("metrics", () => {
  test("panels and alerts read what the table names, and all of it", () => {
    const named = Object.values(METRICS).map(({ name, kind }) =>
      kind === "histogram" ? `${name}_bucket` : name,
    );
    expect([...read].sort()).toEqual(named.sort());
  });

  test("every series is one of the stack's own namespace", () => {
    for (const expr of expressions) {
      for (const [, matchers] of expr.matchAll(/\{([^}]*)\}/g)) {
        expect(matchers).toMatch(/^namespace="llmops"/);
      }
    }
  });

  test("vLLM's are those of its wheel, with their kinds, and the record is of the version served", () => {
    const record = JSON.parse(
      readFileSync(join(ROOT, "tests", "support", "vllm-metrics.json"), "utf8"),
    ) as { version: string; metrics: Record<string, string> };
    const vllm = Object.values(METRICS).filter(({ name }) => name.startsWith("vllm:"));
    expect(vllm.length).toBeGreaterThan(10);
    for (const { name, kind } of vllm)
      expect({ name, kind: record.metrics[name] }).toEqual({ name, kind });
    for (const accelerator of ["cpu", "cuda"]) {
      const lock = readFileSync(join(ROOT, "images", "inference", `${accelerator}.lock`), "utf8");
      expect(/^vllm(?:-cpu)?==(\S+)/m.exec(lock)?.[1]).toBe(record.version);
    }
  });
});

describe("alerts", () => {
  test("are these", () => {
    expect(rules().map(({ alert, for: time, labels }) => [alert, time, labels.severity])).toEqual([
      ["LlmopsModelServerDown", "5m", "critical"],
      ["LlmopsModelNotServed", "5m", "critical"],
      ["LlmopsModelQueueLong", "10m", "warning"],
      ["LlmopsModelFirstTokenSlow", "10m", "warning"],
      ["LlmopsModelCacheFull", "10m", "warning"],
      ["LlmopsModelErrors", "5m", "critical"],
      ["LlmopsTrainingFailed", "0m", "critical"],
      ["LlmopsMlflowDown", "5m", "warning"],
      ["LlmopsVolumeNearlyFull", "15m", "warning"],
    ]);
  });

  test("a stack without training has none about it", () => {
    const names = rules({}, validTree()).map(({ alert }) => alert);
    expect(names).not.toContain("LlmopsTrainingFailed");
    expect(names).toHaveLength(8);
  });

  test("each has a runbook of its own in docs/monitoring.md", () => {
    const page = readFileSync(join(ROOT, "docs", "monitoring.md"), "utf8");
    const headings = [...page.matchAll(/^### (Llmops\w+)$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual(rules().map(({ alert }) => alert));
    for (const { alert, annotations } of rules()) {
      expect(annotations["runbook_url"]).toBe(`docs/monitoring.md#${alert.toLowerCase()}`);
    }
  });

  test("link to where the site has runbooks and dashboards", () => {
    const runbookUrl = "https://docs.test/monitoring";
    const grafanaUrl = "https://grafana.test/";
    const [down] = rules({ runbookUrl, grafanaUrl });
    expect(down?.annotations).toMatchObject({
      runbook_url: "https://docs.test/monitoring#llmopsmodelserverdown",
      dashboard_url: `https://grafana.test/d/${dashboardUid("serving", "llmops")}`,
    });
    for (const { annotations } of [...rules(), ...rules({ grafanaUrl, dashboards: false })]) {
      expect(annotations).not.toHaveProperty("dashboard_url");
    }
  });

  test("fire at the stack's own thresholds", () => {
    const thresholds = { queueLength: 3, firstTokenSeconds: 1.5, errorRatio: 0.2 };
    const byName = Object.fromEntries(
      rules({ thresholds }).map(({ alert, expr }) => [alert, expr]),
    );
    expect(byName["LlmopsModelQueueLong"]).toMatch(/ > 3$/);
    expect(byName["LlmopsModelFirstTokenSlow"]).toMatch(/ > 1\.5$/);
    expect(byName["LlmopsModelErrors"]).toMatch(/ > 0\.2$/);
  });
});

describe("dashboards", () => {
  const all = Object.values(dashboards("llmops"));

  test("have an address that Grafana takes, other than another stack's", () => {
    const others = Object.values(dashboards("a".repeat(63))).map(({ uid }) => uid);
    const uids = all.map(({ uid }) => uid);
    expect(new Set([...uids, ...others]).size).toBe(6);
    for (const uid of [...uids, ...others]) expect(uid).toMatch(/^[\w-]{1,40}$/);
  });

  test("no two panels cover each other, and none is wider than the page", () => {
    for (const dashboard of all) {
      const { panels } = JSON.parse(dashboardJson(dashboard)) as {
        panels: { id: number; gridPos: { x: number; y: number; w: number } }[];
      };
      expect(panels).toHaveLength(dashboard.panels.length);
      const places = panels.map(({ gridPos: { x, y } }) => `${String(x)},${String(y)}`);
      expect(new Set(places).size).toBe(panels.length);
      for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
  });

  test("every query asks the data source that the viewer has chosen", () => {
    for (const dashboard of all) {
      const json = JSON.parse(dashboardJson(dashboard)) as {
        panels: { targets: { datasource: object; expr: string; refId: string }[] }[];
        templating: { list: { name: string; type: string }[] };
      };
      expect(json.templating.list[0]).toMatchObject({ name: "datasource", type: "datasource" });
      for (const { targets } of json.panels) {
        expect(targets.length).toBeGreaterThan(0);
        for (const { datasource } of targets) {
          expect(datasource).toEqual({ type: "prometheus", uid: "${datasource}" });
        }
        expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
      }
    }
  });
});

describe("objects", () => {
  const names = (monitoring: object, tree = trainingTree()) => {
    const { configMaps, operatorObjects } = monitoringObjects(settings(monitoring, tree));
    return {
      configMaps: Object.keys(configMaps),
      operator: Object.entries(operatorObjects).map(([name, { kind }]) => `${kind} ${name}`),
    };
  };
  const DASHBOARDS = [
    "llmops-dashboard-serving",
    "llmops-dashboard-training",
    "llmops-dashboard-gpu",
  ];

  test.each<[string, object, ReturnType<typeof names>]>([
    ["annotations", {}, { configMaps: [...DASHBOARDS, "llmops-alerts"], operator: [] }],
    ["no dashboards", { dashboards: false }, { configMaps: ["llmops-alerts"], operator: [] }],
    ["no alerts", { alerts: false }, { configMaps: DASHBOARDS, operator: [] }],
    [
      "operator",
      { kind: "operator" },
      {
        configMaps: DASHBOARDS,
        operator: ["PodMonitor llama-factory-inference", "PrometheusRule llmops-alerts"],
      },
    ],
    [
      "operator, monitors only",
      { kind: "operator", alerts: false, dashboards: false },
      { configMaps: [], operator: ["PodMonitor llama-factory-inference"] },
    ],
  ])("%s", (_, monitoring, expected) => {
    expect(names(monitoring)).toEqual(expected);
  });

  test("the operator watches the front door where there is one", () => {
    const tree = { ...trainingTree(), frontDoor: { enabled: true } };
    const made = monitoringObjects(settings({ kind: "operator" }, tree));
    expect(made.operatorObjects["llm-front-door"]).toMatchObject({
      kind: "PodMonitor",
      spec: {
        selector: { matchLabels: { "app.kubernetes.io/component": "front-door" } },
        podMetricsEndpoints: [{ port: "metrics", path: "/metrics", interval: "15s" }],
      },
    });
  });

  test("the operator watches dcgm-exporter where the trainer has one", () => {
    const tree = trainingTree();
    const training = { ...(tree["training"] as object), dcgmExporter: true };
    const made = monitoringObjects(settings({ kind: "operator" }, { ...tree, training }));
    expect(made.operatorObjects["llama-factory-train"]).toMatchObject({
      kind: "PodMonitor",
      spec: {
        selector: { matchLabels: { "app.kubernetes.io/component": "training" } },
        podMetricsEndpoints: [{ port: "gpu-metrics", path: "/metrics", interval: "15s" }],
      },
    });
  });

  test("carry the labels that the site selects by", () => {
    const monitoring = { labels: { release: "prometheus" }, dashboardLabels: { grafana: "main" } };
    const { configMaps } = monitoringObjects(settings(monitoring));
    const operator = monitoringObjects(settings({ ...monitoring, kind: "operator" }));
    expect(configMaps["llmops-alerts"]?.labels["release"]).toBe("prometheus");
    expect(configMaps["llmops-dashboard-gpu"]?.labels["grafana"]).toBe("main");
    expect(configMaps["llmops-dashboard-gpu"]?.labels).not.toHaveProperty("grafana_dashboard");
    for (const { labels } of Object.values(operator.operatorObjects)) {
      expect(labels["release"]).toBe("prometheus");
    }
    const plain = monitoringObjects(settings()).configMaps["llmops-dashboard-gpu"];
    expect(plain?.labels["grafana_dashboard"]).toBe("1");
  });

  test("both kinds have the same rules", () => {
    const file = monitoringObjects(settings()).configMaps["llmops-alerts"]?.data;
    const { operatorObjects } = monitoringObjects(settings({ kind: "operator" }));
    expect(parse(file?.["llmops-alerts.yaml"] ?? "")).toEqual(
      operatorObjects["llmops-alerts"]?.spec,
    );
  });
});

test.each([
  ["threshold 1", { thresholds: { kvCacheUsage: 1 } }],
  ["label value", { labels: { release: "a b" } }],
  ["credentials in a URL", { grafanaUrl: "https://me:secret@grafana.test" }],
  ["unknown kind", { kind: "datadog" }],
])("%s is refused", (_, monitoring) => {
  expect(() => settings(monitoring)).toThrow();
});
