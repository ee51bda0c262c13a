import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { ModelServerPodArgs } from "../../workloads/modelServer";
import { disruptionBudgetSpec, modelServerSpec } from "../../workloads/modelServer";
import { SERVERS, SHUTDOWN_SECONDS } from "../../workloads/servers";
import { settled } from "../support/outputs";
import { modelServerArgs } from "../support/podArgs";
import { ROOT } from "../support/program";
import { modelOf as model } from "../support/settings";

const spec = (change: object = {}, more: Partial<ModelServerPodArgs> = {}) =>
  modelServerSpec(modelServerArgs(change, more));

interface Container {
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly startupProbe: {
    readonly periodSeconds: number;
    readonly failureThreshold: number;
    readonly exec?: { readonly command: readonly string[] };
  };
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
  expect(parse(SERVERS.vllm.yaml(model()))).toMatchObject({ "shutdown-timeout": 45 });
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

test("options of the stack reach the file; what is false is said by its opposite", () => {
  const options = {
    "max-model-len": 512,
    "enforce-eager": true,
    "enable-prefix-caching": false,
    "no-enable-chunked-prefill": false,
  };
  expect(parse(SERVERS.vllm.yaml(model({ options })))).toEqual({
    "max-model-len": 512,
    "enforce-eager": true,
    "no-enable-prefix-caching": true,
    "enable-chunked-prefill": true,
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

test("a MIG slice is asked for by its own name", () => {
  const { resources } = container({ resources: { gpuResource: "nvidia.com/mig-1g.10gb" } });
  expect(resources).toMatchObject({
    requests: { "nvidia.com/mig-1g.10gb": "1" },
    limits: { "nvidia.com/mig-1g.10gb": "1" },
  });
  expect(JSON.stringify(resources)).not.toContain("nvidia.com/gpu");
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

describe("a pod serves once it has answered", () => {
  const python = ["/opt/venv/bin/python", "-S", "-m", "llmops_inference.smoke"];

  test("each of its names is asked for one token, until all have answered", () => {
    const source = { kind: "volume", path: "a" };
    const change = { servedName: "chat", adapters: [{ name: "tuned", source }] };
    expect(container(change).startupProbe.exec?.command).toEqual([
      ...python,
      "8000",
      "chat",
      "tuned",
    ]);
  });

  test("a canary is asked by the name of the model whose requests it gets too", () => {
    const change = { canary: { of: "acme/chat", weight: 10 } };
    const { args, startupProbe } = container(change);
    expect(startupProbe.exec?.command).toEqual([...python, "8000", "base", "acme/chat"]);
    expect(args.slice(2, 5)).toEqual(["--served-model-name", "base", "acme/chat"]);
  });

  test("what the probe runs is in the image", () => {
    const dockerfile = readFileSync(join(ROOT, "images/inference/Dockerfile"), "utf8");
    expect(dockerfile).toContain(`ENTRYPOINT ["${String(python[0])}", `);
    expect(dockerfile).toContain("COPY inference/llmops_inference /opt/llmops/llmops_inference\n");
    expect(dockerfile).toContain("PYTHONPATH=/opt/llmops ");
    expect(existsSync(join(ROOT, "images/inference/llmops_inference/smoke.py"))).toBe(true);
  });

  test("afterwards, and where it writes no text, its health says so", () => {
    const httpGet = { path: "/health", port: "http" };
    expect(container()).toMatchObject({ readinessProbe: { httpGet }, livenessProbe: { httpGet } });
    expect(container({ readyWhen: "healthy" })).toMatchObject({ startupProbe: { httpGet } });
  });

  test("LLaMA-Factory's server is asked for a chat, and by a page that needs no key", () => {
    const httpGet = { path: "/docs", port: "http" };
    const server = "llamafactory";
    expect(container({ server }).startupProbe.exec?.command).toEqual([
      ...python,
      "--chat",
      "8000",
      "base",
    ]);
    expect(container({ server })).toMatchObject({
      readinessProbe: { httpGet },
      livenessProbe: { httpGet },
    });
  });
});

describe("LLaMA-Factory's server", () => {
  const settings = {
    server: "llamafactory",
    servedName: "chat",
    options: { template: "qwen", vllm_maxlen: 512 },
  };

  test("gets its keys by file, the model as an argument, the key by reference", async () => {
    expect(parse(SERVERS.llamafactory.yaml(model(settings)))).toEqual({
      template: "qwen",
      vllm_maxlen: 512,
      infer_backend: "vllm",
    });
    const { args, env } = container(settings);
    await expect(settled(args)).resolves.toEqual([
      "api",
      "/app/config/inference.yaml",
      "model_name_or_path=/models/m",
    ]);
    expect(env).toEqual(
      expect.arrayContaining([
        { name: "API_HOST", value: "0.0.0.0" },
        { name: "API_PORT", value: "8000" },
        { name: "API_MODEL_NAME", value: "chat" },
        {
          name: "API_KEY",
          valueFrom: { secretKeyRef: { name: "vllm-api-key-1", key: "VLLM_API_KEY" } },
        },
      ]),
    );
    expect(env.map(({ name }) => name)).not.toContain("VLLM_API_KEY");
  });

  test("ends within the pod's grace period", () => {
    const file = join(ROOT, "images/inference/llmops_inference/supervise.py");
    const seconds = /^SHUTDOWN_SECONDS = (\d+)$/m.exec(readFileSync(file, "utf8"))?.[1];
    expect(Number(seconds)).toBe(SHUTDOWN_SECONDS);
  });

  test("is not scraped: it has no metrics", () => {
    expect(JSON.stringify(spec(settings).template)).not.toContain("prometheus.io");
    expect(JSON.stringify(spec().template)).toContain("prometheus.io");
  });
});

describe("where pods run", () => {
  test("several replicas keep apart, counted a version at a time; one has nothing to keep apart", () => {
    expect(pod()).toMatchObject({
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: "kubernetes.io/hostname",
          whenUnsatisfiable: "ScheduleAnyway",
          labelSelector: {
            matchLabels: {
              "app.kubernetes.io/component": "inference",
              "app.kubernetes.io/instance": "base",
            },
          },
          matchLabelKeys: ["pod-template-hash"],
        },
      ],
    });
    expect(pod({ replicas: { max: 1 } })).not.toHaveProperty("topologySpreadConstraints");
  });

  test("placement reaches the pod", () => {
    const placement = {
      nodeSelector: { pool: "gpu" },
      tolerations: [{ key: "gpu", operator: "Exists" }],
      priorityClassName: "serving",
    };
    expect(pod({ placement })).toMatchObject(placement);
    expect(pod()).not.toHaveProperty("priorityClassName");
  });

  test("a drain takes one pod at a time, and a broken one always", () => {
    expect(disruptionBudgetSpec(model())).toMatchObject({
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: "AlwaysAllow",
    });
  });
});

test("what is compiled at the start outlives the container", () => {
  expect(pod()).toMatchObject({
    volumes: expect.arrayContaining([{ name: "cache", emptyDir: {} }]) as unknown,
  });
  expect(container()).toMatchObject({
    volumeMounts: expect.arrayContaining([
      { name: "cache", mountPath: "/home/app/.cache" },
    ]) as unknown,
  });
});
