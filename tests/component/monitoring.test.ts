import { Board } from "../../components/board";
import { Monitoring } from "../../components/monitoring";
import { children, summary } from "../support/component";
import { kubernetesObjects, stackFile } from "../support/program";
import { runStack } from "../support/stack";
import { settingsOf, trainingTree } from "../support/settings";

const settings = (change: object) => settingsOf({ ...trainingTree(), ...change });

describe("Monitoring", () => {
  const monitoring = (change: object) =>
    children(
      () =>
        new Monitoring("monitoring", {
          namespace: "ns",
          settings: settings({ monitoring: { enabled: true, ...change } }),
        }),
    );

  test("by annotations: ConfigMaps only, for no CRD is needed", async () => {
    const made = await monitoring({});
    expect(summary(made)).toEqual([
      "ConfigMap llmops-alerts < monitoring",
      "ConfigMap llmops-dashboard-gpu < monitoring",
      "ConfigMap llmops-dashboard-serving < monitoring",
      "ConfigMap llmops-dashboard-training < monitoring",
    ]);
    for (const { name, inputs } of made) {
      expect(inputs["metadata"]).toMatchObject({ name, namespace: "ns" });
    }
  });

  test("for the operator: its own objects instead of the rule file", async () => {
    const made = await monitoring({ kind: "operator", dashboards: false });
    expect(summary(made)).toEqual([
      "PodMonitor llama-factory-inference < monitoring",
      "PrometheusRule llmops-alerts < monitoring",
    ]);
    for (const { name, inputs } of made) {
      expect(inputs).toMatchObject({
        apiVersion: "monitoring.coreos.com/v1",
        metadata: { name, namespace: "ns" },
      });
    }
  });
});

test("LLaMA Board is a Deployment under its own account, and a Service", async () => {
  const made = await children(
    () =>
      new Board("llama-board", {
        namespace: "ns",
        settings: settings({ board: { enabled: true } }),
        images: { training: "r/t@sha256:0" },
        claims: { modelOutput: "model-output-pvc", hubCache: undefined, trainingData: undefined },
        secrets: { BOARD_PASSWORD: "board-secret-1" },
      }),
  );
  expect(summary(made)).toEqual([
    "Deployment llama-board < llama-board",
    "Service llama-board < llama-board",
  ]);
  const deployment = made.find(({ type }) => type.endsWith(":Deployment"));
  expect(deployment?.inputs).toMatchObject({
    spec: { template: { spec: { serviceAccountName: "llmops-board" } } },
  });
});

describe("in the whole program", () => {
  const names = async (change: object) => {
    const { settings: tree, ...rest } = stackFile("local");
    const run = await runStack({ ...rest, settings: { ...tree, ...change } });
    const objects = kubernetesObjects(run) as { kind: string; metadata: { name: string } }[];
    return objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  };

  test("both only where enabled, and they change nothing else", async () => {
    const before = await names({ monitoring: { enabled: false } });
    const after = await names({ board: { enabled: true }, monitoring: { enabled: true } });
    expect(after.filter((name) => !before.includes(name))).toEqual([
      "Deployment llama-board",
      "ConfigMap llmops-alerts",
      "ConfigMap llmops-dashboard-gpu",
      "ConfigMap llmops-dashboard-serving",
      "ConfigMap llmops-dashboard-training",
      expect.stringMatching(/^Secret board-secret-/),
      "Service llama-board",
      "ServiceAccount llmops-board",
      "NetworkPolicy board",
    ]);
    expect(before.filter((name) => !after.includes(name))).toEqual([]);
  }, 60_000);
});
