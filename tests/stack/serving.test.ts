import type { Registered, StackInput } from "../support/program";
import { stackFile } from "../support/program";
import { runStack } from "../support/stack";

const base = { kind: "volume", path: "base/SmolLM2-135M-Instruct" };
const small = { resources: { cpu: "500m", memory: "6Gi" } };
const ADAPTED = {
  name: "smollm2",
  source: base,
  adapters: [{ name: "lumen7", source: { kind: "training" } }],
  ...small,
};
const OWN_SERVER = {
  name: "chat",
  source: base,
  server: "llamafactory",
  options: { vllm_maxlen: 1024 },
  autoscaling: { metric: "cpu" },
  ...small,
};

/** The local stack with these models, and a run that is not merged. */
function serving(...models: object[]): StackInput {
  const { stack, settings } = stackFile("local");
  const training = { ...(settings["training"] as object), merge: false };
  return { stack, settings: { ...settings, training, models } };
}

async function resources(...models: object[]): Promise<ReadonlyMap<string, Registered>> {
  const run = await runStack(serving(...models));
  return new Map(
    run.resources.map((each) => [`${each.type.split(":").at(-1) ?? ""} ${each.name}`, each]),
  );
}

test("an adapter is what the run ends with, and its server waits for the run", async () => {
  const made = await resources(ADAPTED);
  const { name } = made.get("Job llama-factory-train")?.inputs["metadata"] as { name: string };
  const folder = name.replace("llama-factory-train-", "/adapters/lumen7/");
  expect(made.get("Deployment llama-factory-inference-smollm2")?.inputs).toMatchObject({
    spec: {
      template: {
        spec: {
          containers: [
            {
              args: expect.arrayContaining([
                "serve",
                "/models/base/SmolLM2-135M-Instruct",
                "--lora-modules",
                `lumen7=${folder}`,
              ]) as unknown,
            },
          ],
        },
      },
    },
  });
  const { dependsOn } = made.get("ModelServer smollm2")?.opts ?? {};
  expect(dependsOn).toHaveLength(1);
});

test("both servers stand side by side, and a change of one touches nothing of the other", async () => {
  const before = await resources(ADAPTED, OWN_SERVER);
  const after = await resources(ADAPTED, { ...OWN_SERVER, options: { vllm_maxlen: 512 } });
  expect([...after.keys()]).toEqual([...before.keys()]);
  const changed = [...before.keys()].filter(
    (key) => JSON.stringify(before.get(key)?.inputs) !== JSON.stringify(after.get(key)?.inputs),
  );
  expect(changed).toEqual(["ConfigMap llama-factory-inference-chat"]);
  expect(after.get("ConfigMap llama-factory-inference-chat")?.inputs["data"]).toEqual({
    "inference.yaml": "vllm_maxlen: 512\ninfer_backend: vllm\n",
  });
});

test("a canary changes the front door, and nothing of the model that it shares requests with", async () => {
  const canary = { name: "next", source: base, canary: { of: "smollm2", weight: 10 }, ...small };
  const before = await resources(ADAPTED);
  const after = await resources(ADAPTED, canary);
  const changed = [...before.keys()].filter(
    (key) => JSON.stringify(before.get(key)?.inputs) !== JSON.stringify(after.get(key)?.inputs),
  );
  expect(changed).toEqual(["ConfigMap llm-front-door"]);
  const { data } = after.get("ConfigMap llm-front-door")?.inputs as {
    data: Record<string, string>;
  };
  expect(data["envoy.yaml"]).toMatch(
    /name: model-smollm2\s+weight: 90\s+- name: canary-next\s+weight: 10/,
  );
});

test("a model that goes to zero has a ScaledObject; the others keep their autoscalers", async () => {
  const sleeper = { name: "sleeper", source: base, ...small };
  const scaled = { ...sleeper, autoscaling: { kind: "keda" }, replicas: { min: 0, max: 2 } };
  const { stack, settings } = serving(ADAPTED, scaled);
  const monitoring = { prometheusUrl: "http://prometheus.monitoring:9090" };
  const { resources: made } = await runStack({ stack, settings: { ...settings, monitoring } });
  const scalers = made.filter(({ name }) => name.startsWith("llama-inference-hpa-"));
  expect(scalers.map(({ type, name }) => [type, name])).toEqual([
    ["kubernetes:autoscaling/v2:HorizontalPodAutoscaler", "llama-inference-hpa-smollm2"],
    ["kubernetes:keda.sh/v1alpha1:ScaledObject", "llama-inference-hpa-sleeper"],
  ]);
  expect(JSON.stringify(scalers[1]?.inputs["spec"])).toContain(
    'namespace=\\"llmops\\", model_name=\\"sleeper\\"',
  );
  await expect(runStack(serving(ADAPTED, scaled))).rejects.toThrow(
    "pulumi config set --path 'llmops:monitoring.prometheusUrl'",
  );
});

test("what does not fit the servers is said at once, before anything is made", async () => {
  const models = [
    { ...ADAPTED, options: { "max-modellen": 512 } },
    { ...OWN_SERVER, autoscaling: {}, adapters: [{ name: "lumen7", source: base }] },
  ];
  await expect(runStack(serving(...models))).rejects.toThrow(
    /has 4 faults; nothing was created[^]*as models\[0\]\.adapters\[0\]\.name is too[^]*max-modellen[^]*models\[1\]\.server[^]*models\[1\]\.autoscaling\.metric/,
  );
});

test("a merged run is no adapter", async () => {
  const { stack, settings } = serving(ADAPTED);
  const training = { ...(settings["training"] as object), merge: true };
  await expect(runStack({ stack, settings: { ...settings, training } })).rejects.toThrow(
    "pulumi config set --path 'llmops:training.merge' 'false'",
  );
});
