import { parse } from "yaml";
import type { ModelServerPodArgs } from "../../workloads/modelServer";
import { autoscalerSpec, inferenceYaml, modelServerSpec } from "../../workloads/modelServer";
import { settingsOf, validTree } from "../support/settings";

function model(change: object = {}) {
  const [settings] = settingsOf({
    ...validTree(),
    models: [{ name: "base", source: { kind: "volume", path: "m" }, ...change }],
  }).models;
  if (settings === undefined) throw new Error("the tree has a model");
  return settings;
}

const spec = (change: object = {}, more: Partial<ModelServerPodArgs> = {}) =>
  modelServerSpec({
    settings: model(change),
    accelerator: "cuda",
    image: "r/i@sha256:0",
    modelPath: "/models/m",
    claims: { modelOutput: "model-output-pvc", hubCache: undefined },
    configMap: "config-1",
    apiKeySecret: "vllm-api-key-1",
    pullSecrets: [],
    secrets: {},
    identity: false,
    ...more,
  });

interface Container {
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly startupProbe: { readonly periodSeconds: number; readonly failureThreshold: number };
  readonly resources: unknown;
  readonly args: readonly string[];
}

interface PodTemplate {
  readonly spec: { readonly containers: readonly Container[] };
}

const pod = (change: object = {}, more: Partial<ModelServerPodArgs> = {}) =>
  (spec(change, more).template as unknown as PodTemplate).spec;

const container = (change: object = {}, more: Partial<ModelServerPodArgs> = {}): Container => {
  const [first] = pod(change, more).containers;
  if (first === undefined) throw new Error("the pod has a container");
  return first;
};

test("the Deployment leaves replicas to the autoscaler", () => {
  expect(spec()).not.toHaveProperty("replicas");
});

test("a rollout needs no spare GPU unless surge says there is one", () => {
  expect(spec()).toMatchObject({
    strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
  });
  expect(spec({ surge: true })).toMatchObject({
    strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
  });
});

test("the pod may drain: grace period covers preStop, requests under way and the engine's end", () => {
  expect(pod()).toMatchObject({
    terminationGracePeriodSeconds: 75,
    containers: [{ lifecycle: { preStop: { sleep: { seconds: 15 } } } }],
  });
  expect(parse(inferenceYaml(model()))).toMatchObject({ "shutdown-timeout": 45 });
});

test("the startup probe gives the model as long as the settings say", () => {
  const { periodSeconds, failureThreshold } = container({ startupMinutes: 20 }).startupProbe;
  expect(periodSeconds * failureThreshold).toBe(20 * 60);
  expect(spec({ startupMinutes: 20 })).toMatchObject({ progressDeadlineSeconds: 1800 });
});

test("vllm serve gets the path and name as arguments, its options by file, the key by reference", () => {
  expect(container({ servedName: "chat" }).args).toEqual([
    "serve",
    "/models/m",
    "--served-model-name",
    "chat",
    "--config",
    "/app/config/inference.yaml",
  ]);
  expect(container().env).toContainEqual({
    name: "VLLM_API_KEY",
    valueFrom: { secretKeyRef: { name: "vllm-api-key-1", key: "VLLM_API_KEY" } },
  });
});

test("options of the stack reach the file, but not over what the platform needs", () => {
  const options = { "max-model-len": 512, port: 1 };
  expect(parse(inferenceYaml(model({ options })))).toEqual({
    "max-model-len": 512,
    host: "0.0.0.0",
    port: 8000,
    "shutdown-timeout": 45,
    "disable-access-log-for-endpoints": "/health,/metrics,/ping",
  });
});

test("CPU settings only on CPU images, GPUs only on GPU images", () => {
  const names = (accelerator: "cuda" | "cpu") =>
    container({}, { accelerator }).env.map(({ name }) => name);
  expect(names("cpu")).toContain("VLLM_CPU_KVCACHE_SPACE");
  expect(names("cuda")).not.toContain("VLLM_CPU_KVCACHE_SPACE");
  expect(container().resources).toMatchObject({ limits: { "nvidia.com/gpu": "1" } });
  expect(container({}, { accelerator: "cpu" }).resources).not.toMatchObject({
    limits: { "nvidia.com/gpu": expect.anything() },
  });
});

test("every pod satisfies Pod Security restricted and has no service links", () => {
  expect(pod()).toMatchObject({
    enableServiceLinks: false,
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      { securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } } },
    ],
  });
});

describe("the autoscaler", () => {
  test("follows waiting requests by default", () => {
    expect(autoscalerSpec(model())).toMatchObject({
      scaleTargetRef: { kind: "Deployment", name: "llama-factory-inference-base" },
      minReplicas: 1,
      maxReplicas: 4,
      metrics: [
        {
          type: "Pods",
          pods: {
            metric: { name: "vllm:num_requests_waiting" },
            target: { type: "AverageValue", averageValue: "5" },
          },
        },
      ],
    });
  });

  test("follows CPU utilisation where the cluster has no custom metrics", () => {
    expect(autoscalerSpec(model({ autoscaling: { metric: "cpu", target: 70 } })).metrics).toEqual([
      {
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 70 } },
      },
    ]);
  });
});
