import * as pulumi from "@pulumi/pulumi";
import { networkPolicies } from "../../workloads/network";
import { servedTagsEnv, tellsMlflow } from "../../workloads/servedTags";
import { settled } from "../support/outputs";
import { settingsOf, trainingTree } from "../support/settings";

const trained = { kind: "training" };
const earlier = { kind: "training", run: "aaaaaaaaaa" };
const volume = { kind: "volume", path: "m" };

function tree(models: object[], training: object = {}, more: object = {}) {
  const base = trainingTree();
  return settingsOf({
    ...base,
    ...more,
    models,
    training: { ...(base["training"] as object), ...training },
  });
}

/** The environment that the first model of a stack gets for MLflow. */
function env(models: object[], training: object = {}, more: object = {}) {
  const stack = tree(models, training, more);
  const [settings] = stack.models;
  if (settings === undefined || stack.training === undefined) throw new Error("both are there");
  const config = { output_dir: "/app/output/team" };
  const run = { settings: stack.training, config, runId: pulumi.output("0123456789") };
  return settled(servedTagsEnv({ settings, stack, trained: run }));
}

test("the run of a model: its tag, the name in requests, its folder, and the server's address", async () => {
  expect(await env([{ name: "tuned", servedName: "acme/tuned", source: trained }])).toEqual([
    {
      name: "LLMOPS_SERVED",
      value: '[{"tag":"llmops.served.tuned","name":"acme/tuned","run":"/models/team/0123456789"}]',
    },
    {
      name: "LLMOPS_SERVED_AT",
      value: "http://llama-factory-inference-tuned.llmops.svc:8000/v1",
    },
    { name: "MLFLOW_TRACKING_URI", value: "http://mlflow.llmops.svc:5000" },
  ]);
});

test("only what is trained, under a tag for each adapter", async () => {
  const adapters = [
    { name: "new", source: trained },
    { name: "copied", source: volume },
    { name: "old", source: earlier },
  ];
  const [served] = (await env([{ name: "base", source: volume, adapters }])) as { value: string }[];
  expect(JSON.parse(served?.value ?? "")).toEqual([
    { tag: "llmops.served.base.new", name: "new", run: "/adapters/new/team/0123456789" },
    { tag: "llmops.served.base.old", name: "old", run: "/adapters/old/team/aaaaaaaaaa" },
  ]);
});

test.each<[string, object, object, object]>([
  ["a model from elsewhere", { source: volume }, {}, {}],
  ["a run that MLflow was not told of", { source: trained }, { tracking: { mlflow: false } }, {}],
  ["a server that is not asked for an answer", { source: trained, readyWhen: "healthy" }, {}, {}],
  ["an MLflow with a login", { source: trained }, {}, { mlflow: { auth: { enabled: true } } }],
])("%s: no environment, no way to MLflow", async (_, change, training, more) => {
  const models = [{ name: "m", ...change }];
  expect(await env(models, training, more)).toEqual([]);
  const stack = tree(models, training, more);
  expect(stack.models.map((model) => tellsMlflow(model, stack))).toEqual([false]);
  const policies = networkPolicies(stack);
  expect(Object.keys(policies)).not.toContain("inference-to-mlflow");
  expect(JSON.stringify(policies["mlflow"])).not.toContain("inference");
});

test("of the model servers, only those with a run reach MLflow", () => {
  const policies = networkPolicies(
    tree([
      { name: "tuned", source: trained },
      { name: "base", source: volume },
    ]),
  );
  const tuned = {
    matchLabels: { "app.kubernetes.io/component": "inference" },
    matchExpressions: [{ key: "app.kubernetes.io/instance", operator: "In", values: ["tuned"] }],
  };
  const mlflow = { matchLabels: { "app.kubernetes.io/component": "mlflow" } };
  const ports = [{ protocol: "TCP", port: 5000 }];
  expect(policies["inference-to-mlflow"]).toEqual({
    podSelector: tuned,
    policyTypes: ["Egress"],
    egress: [{ to: [{ podSelector: mlflow }], ports }],
  });
  expect(policies["mlflow"]).toMatchObject({
    ingress: [{ from: expect.arrayContaining([{ podSelector: tuned }]) as unknown, ports }],
  });
});
