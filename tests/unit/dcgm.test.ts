import { dcgmPieces } from "../../workloads/dcgm";
import { networkPolicies } from "../../workloads/network";
import { trainingPod } from "../../workloads/training";
import { trainingPodArgs } from "../support/podArgs";
import { REMOTE_SOURCES, settingsOf, trainingTree } from "../support/settings";

const IMAGE = `registry.test/dcgm-exporter@sha256:${"d".repeat(64)}`;

const settings = (change: object) => settingsOf(trainingTree(change));

function pod(change: object) {
  return trainingPod(trainingPodArgs(change, { dcgmExporter: IMAGE })) as {
    metadata: { annotations: Record<string, string> };
    spec: { initContainers?: { name: string }[] };
  };
}

test("dcgm-exporter is a native sidecar that takes no GPU of its own and no file of the node", () => {
  expect(dcgmPieces(IMAGE).initContainers).toEqual([
    {
      imagePullPolicy: "IfNotPresent",
      terminationMessagePolicy: "FallbackToLogsOnError",
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      name: "dcgm-exporter",
      image: IMAGE,
      restartPolicy: "Always",
      env: [
        { name: "DCGM_EXPORTER_LISTEN", value: ":9400" },
        { name: "DCGM_EXPORTER_KUBERNETES", value: "false" },
        { name: "NVIDIA_VISIBLE_DEVICES", value: "all" },
      ],
      ports: [{ name: "gpu-metrics", containerPort: 9400 }],
      resources: { requests: { cpu: "100m", memory: "512Mi" }, limits: { memory: "512Mi" } },
    },
  ]);
});

test("it starts after the download, beside the trainer, and Prometheus finds it", () => {
  const { metadata, spec } = pod({ dcgmExporter: true, baseModel: REMOTE_SOURCES.huggingface });
  expect(spec.initContainers?.map(({ name }) => name)).toEqual(["fetch-model", "dcgm-exporter"]);
  expect(metadata.annotations).toMatchObject({
    "prometheus.io/scrape": "true",
    "prometheus.io/port": "9400",
    "prometheus.io/path": "/metrics",
  });
});

test("without it, the training pod exports nothing and nobody is let in", () => {
  const { metadata, spec } = pod({});
  expect(spec.initContainers).toBeUndefined();
  expect(Object.keys(metadata.annotations)).toEqual([
    "llmops.dev/commit",
    "llmops.dev/train-config",
  ]);
  expect(networkPolicies(settings({}))).not.toHaveProperty("training");
});

test("with it, Prometheus may reach the training pods on its port", () => {
  expect(networkPolicies(settings({ dcgmExporter: true }))["training"]).toEqual({
    podSelector: { matchLabels: { "app.kubernetes.io/component": "training" } },
    policyTypes: ["Ingress"],
    ingress: [
      {
        from: [
          { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } } },
        ],
        ports: [{ protocol: "TCP", port: 9400 }],
      },
    ],
  });
});
