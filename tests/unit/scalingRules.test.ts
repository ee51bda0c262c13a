import { scalingFaults } from "../../config/scalingRules";
import { settingsOf, validTree } from "../support/settings";

const source = { kind: "volume", path: "m" };
const keda = { kind: "keda" };
const stack = {
  frontDoor: { enabled: true },
  monitoring: { prometheusUrl: "http://prometheus.test:9090" },
};
const faults = (model: object, change: object = stack) =>
  scalingFaults(
    settingsOf({ ...validTree(), models: [{ name: "a", source, ...model }], ...change }),
  );
const set = (key: string, value: string) => `pulumi config set --path 'llmops:${key}' '${value}'`;

test.each<[string, object, object]>([
  ["the defaults", {}, {}],
  [
    "KEDA from one replica up, without a front door",
    { autoscaling: keda },
    { monitoring: stack.monitoring },
  ],
  ["KEDA from zero", { autoscaling: { ...keda, idleMinutes: 30 }, replicas: { min: 0 } }, stack],
])("nothing is wrong with %s", (_, model, change) => {
  expect(faults(model, change)).toEqual([]);
});

test("zero is for KEDA only", () => {
  expect(faults({ replicas: { min: 0 } })).toEqual([
    {
      key: "models[0].replicas.min",
      got: "0 with autoscaling.kind hpa",
      allowed: "at least 1: only KEDA scales to zero, and back by the queue of vLLM",
      fix: set("models[0].autoscaling.kind", "keda"),
    },
  ]);
});

test("LLaMA-Factory's server is nothing for KEDA, and its remedies lead out", () => {
  const model = {
    server: "llamafactory",
    replicas: { min: 0 },
    autoscaling: { ...keda, metric: "cpu" },
  };
  expect(faults(model)).toEqual([
    expect.objectContaining({ fix: set("models[0].replicas.min", "1") }),
    {
      key: "models[0].autoscaling.kind",
      got: '"keda" with server llamafactory',
      allowed: "hpa: LLaMA-Factory's server has no metrics that KEDA could ask for",
      fix: set("models[0].autoscaling.kind", "hpa"),
    },
  ]);
  const mended = { server: "llamafactory", replicas: { min: 1 }, autoscaling: { metric: "cpu" } };
  expect(faults(mended)).toEqual([]);
});

test("KEDA does not look at the CPU", () => {
  expect(faults({ autoscaling: { ...keda, metric: "cpu" } })).toEqual([
    {
      key: "models[0].autoscaling.metric",
      got: '"cpu" with autoscaling.kind keda',
      allowed: "queue: KEDA asks Prometheus for waiting requests",
      fix: set("models[0].autoscaling.metric", "queue"),
    },
  ]);
});

test.each<[number, object, object]>([
  [
    30,
    { min: 1 },
    {
      got: "30 with replicas.min 1",
      allowed: "not set: the last replica is taken away only with replicas.min 0",
      fix: "pulumi config rm --path 'llmops:models[0].autoscaling.idleMinutes'",
    },
  ],
  [
    29,
    { min: 0 },
    {
      got: "29, while a load may take 30 minutes",
      allowed: "at least 30, or a pod could be ended before it has served",
      fix: set("models[0].autoscaling.idleMinutes", "30"),
    },
  ],
])("%i idle minutes with %j", (idleMinutes, replicas, expected) => {
  expect(faults({ autoscaling: { ...keda, idleMinutes }, replicas })).toEqual([
    { key: "models[0].autoscaling.idleMinutes", ...expected },
  ]);
});

test("what KEDA needs of the stack is said once", () => {
  const model = (name: string) => ({ name, source, autoscaling: keda, replicas: { min: 0 } });
  const models = [{ name: "plain", source }, model("a"), model("b")];
  expect(faults({}, { models })).toEqual([
    {
      key: "monitoring.prometheusUrl",
      got: "nothing, with models[1].autoscaling.kind keda",
      allowed: "the URL of the Prometheus that scrapes the model servers and the front door",
      fix: set("monitoring.prometheusUrl", "http://prometheus.monitoring:9090"),
    },
    {
      key: "frontDoor.enabled",
      got: "false with models[1].replicas.min 0",
      allowed: "true: nothing else sees a request for a model without pods",
      fix: set("frontDoor.enabled", "true"),
    },
  ]);
});
