import { parse } from "yaml";
import { trainingFaults } from "../../config/trainingRules";
import { networkPolicies } from "../../workloads/network";
import { trainingJobLabels, trainingJobSpec } from "../../workloads/trainingJob";
import { nodesServiceSpec } from "../../workloads/trainingNodes";
import { trainingPodArgs } from "../support/podArgs";
import { REMOTE_SOURCES, settingsOf, trainingTree } from "../support/settings";

const RWX = { volume: { kind: "storageClass" }, accessMode: "ReadWriteMany" };
const RWO = { volume: { kind: "storageClass" }, accessMode: "ReadWriteOnce" };

const tree = (change: object, more: object = {}) => settingsOf(trainingTree(change, more));

function job(change: object, accelerator: "cuda" | "cpu" = "cuda") {
  const spec = trainingJobSpec(trainingPodArgs(change, { accelerator }));
  const template = spec.template as {
    metadata: { annotations: Record<string, string> };
    spec: { containers: { env: { name: string; value?: string; valueFrom?: object }[] }[] };
  };
  const env = (template.spec.containers[0]?.env ?? []).filter(({ name }) =>
    /TORCHRUN|NNODES|NODE_|NPROC|MASTER/.test(name),
  );
  return { spec, template, env: Object.fromEntries(env.map((each) => [each.name, each.value])) };
}

test("one pod on one node is a plain Job, and torchrun is left to LLaMA-Factory", () => {
  const { spec, env } = job({ resources: { gpu: 4 } });
  expect(env).toEqual({});
  expect(spec).toMatchObject({ backoffLimit: 1 });
  expect(spec).not.toHaveProperty("completionMode");
});

test("several nodes are an indexed Job whose pods find rank 0 by its name", () => {
  const { spec, template, env } = job({ nodes: 4, resources: { gpu: 8 }, backoffLimit: 2 });
  expect(spec).toMatchObject({
    completionMode: "Indexed",
    completions: 4,
    parallelism: 4,
    backoffLimit: 8,
  });
  expect(template.spec).toMatchObject({ subdomain: "llama-factory-train", restartPolicy: "Never" });
  expect(env).toEqual({
    FORCE_TORCHRUN: "1",
    NPROC_PER_NODE: "8",
    NNODES: "4",
    MASTER_ADDR: "llama-factory-train-0123456789-0.llama-factory-train",
    MASTER_PORT: "29500",
    LLMOPS_NODE_ADDRESS: "llama-factory-train-0123456789-{rank}.llama-factory-train",
    NODE_RANK: undefined,
  });
  expect(JSON.stringify(template)).toContain(
    "metadata.annotations['batch.kubernetes.io/job-completion-index']",
  );
  expect(nodesServiceSpec()).toEqual({
    clusterIP: "None",
    selector: {
      "app.kubernetes.io/component": "training",
      "app.kubernetes.io/instance": "llama-factory-train",
    },
  });
});

test("on CPUs each pod is one process", () => {
  expect(job({ nodes: 2 }, "cpu").env).toMatchObject({ NNODES: "2", NPROC_PER_NODE: "1" });
});

test.each<["zero2" | "zero3", number]>([
  ["zero2", 2],
  ["zero3", 3],
])(
  "DeepSpeed %s needs torchrun on one GPU too, and its file is beside the training file",
  (deepspeed, stage) => {
    const { template, env } = job({ deepspeed });
    expect(env).toEqual({ FORCE_TORCHRUN: "1", NPROC_PER_NODE: "1" });
    const { annotations } = template.metadata;
    expect(parse(annotations["llmops.dev/train-config"] ?? "")).toMatchObject({
      deepspeed: "/app/config/deepspeed.json",
    });
    expect(JSON.parse(annotations["llmops.dev/deepspeed"] ?? "")).toMatchObject({
      train_micro_batch_size_per_gpu: "auto",
      zero_optimization: { stage },
    });
  },
);

test("only one pod saves when it is told to end", () => {
  const yaml = (nodes: number) =>
    parse(job({ nodes }).template.metadata.annotations["llmops.dev/train-config"] ?? "") as object;
  expect(yaml(1)).toHaveProperty("enable_jit_checkpoint", true);
  expect(yaml(2)).not.toHaveProperty("enable_jit_checkpoint");
});

test("a queue is told to Kueue, a priority class to the scheduler", () => {
  expect(trainingJobLabels({ queue: "gpu" })).toMatchObject({
    "kueue.x-k8s.io/queue-name": "gpu",
    "app.kubernetes.io/component": "training",
  });
  expect(trainingJobLabels({})).not.toHaveProperty("kueue.x-k8s.io/queue-name");
  const placement = { priorityClassName: "high" };
  expect(job({ placement }).template.spec).toMatchObject(placement);
});

test("the pods of a run may talk to each other, where there is more than one", () => {
  const pods = { podSelector: { matchLabels: { "app.kubernetes.io/component": "training" } } };
  expect(networkPolicies(tree({ nodes: 2 }))["training-nodes"]).toEqual({
    ...pods,
    policyTypes: ["Ingress", "Egress"],
    ingress: [{ from: [pods] }],
    egress: [{ to: [pods] }],
  });
  expect(networkPolicies(tree({}))).not.toHaveProperty("training-nodes");
});

describe("a claim that only one node can mount is refused with several nodes", () => {
  const faults = (storage: object, change: object = {}) =>
    trainingFaults(tree({ nodes: 2, ...change }, { storage: { mlflow: RWO, ...storage } }));

  test("what they write", () => {
    expect(faults({ modelOutput: RWO })).toEqual([
      {
        key: "storage.modelOutput.accessMode",
        got: '"ReadWriteOnce", with training.nodes 2',
        allowed: "ReadWriteMany: the pods of all nodes mount it",
        fix: "pulumi config set --path 'llmops:storage.modelOutput.accessMode' 'ReadWriteMany'",
      },
    ]);
    expect(faults({ modelOutput: RWX })).toEqual([]);
  });

  test("what they read", () => {
    const storage = { modelOutput: RWX, trainingData: RWO, hubCache: RWO };
    expect(faults(storage)).toEqual([]);
    expect(
      faults(storage, { data: { kind: "volume" }, baseModel: REMOTE_SOURCES.huggingface }).map(
        ({ key }) => key,
      ),
    ).toEqual(["storage.trainingData.accessMode", "storage.hubCache.accessMode"]);
  });

  test("a folder of a node keeps all pods on that node", () => {
    const volume = { kind: "hostPath", path: "/mnt/m", node: "n" };
    expect(faults({ modelOutput: { volume, accessMode: "ReadWriteOnce" } })).toEqual([]);
  });
});

test("DeepSpeed is refused on CPUs, and twice", () => {
  const images = { accelerator: "cuda", registry: "r", baseImage: "d:1" };
  expect(trainingFaults(tree({ deepspeed: "zero3" })).map(({ key }) => key)).toEqual([
    "training.deepspeed",
  ]);
  expect(trainingFaults(tree({ deepspeed: "zero3" }, { images }))).toEqual([]);
  expect(trainingFaults(tree({ deepspeed: "zero3" }, { images }), { deepspeed: "x.json" })).toEqual(
    [
      expect.objectContaining({
        key: "training.configFile (examples/lumen7/lora.yaml) deepspeed",
        fix: "remove deepspeed from examples/lumen7/lora.yaml",
      }),
    ],
  );
});
