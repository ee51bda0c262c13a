import { scaledObjectSpec, scalingQueries } from "../../workloads/keda";
import { METRICS } from "../../workloads/monitoring/metrics";
import vllm from "../support/vllm-metrics.json";
import { modelOf } from "../support/settings";

const ARGS = { namespace: "llmops-test", prometheusUrl: "http://prometheus.test:9090" };
const keda = (change: object = {}, autoscaling: object = {}) =>
  modelOf({ ...change, autoscaling: { kind: "keda", ...autoscaling } });

const SERIES = '{namespace="llmops-test", model_name="base"}';
const DOOR = '{namespace="llmops-test", envoy_cluster_name="model-base"}';
const WAITING = `sum(vllm:num_requests_waiting${SERIES})`;
const WANTED = [
  `(sum(vllm:num_requests_running${SERIES}) or vector(0))`,
  `(sum(increase(envoy_cluster_upstream_cx_none_healthy${DOOR}[2m])) or vector(0))`,
  `(sum(increase(envoy_cluster_upstream_cx_total${DOOR}[2m])) or vector(0)) > bool 0`,
].join(" + ");

const trigger = (name: string, query: string, threshold: string) => ({
  type: "prometheus",
  name,
  metricType: "AverageValue",
  metadata: { serverAddress: "http://prometheus.test:9090", query, threshold },
});

test("the queries are about one model of one stack", () => {
  expect(scalingQueries(modelOf(), "llmops-test")).toEqual({ waiting: WAITING, wanted: WANTED });
});

test("they name a model as requests do, whatever is in its name; the front door knows its own", () => {
  const { waiting, wanted } = scalingQueries(modelOf({ servedName: 'a"b\\c' }), "ns");
  expect(waiting).toContain('model_name="a\\"b\\\\c"');
  expect(wanted).toContain('envoy_cluster_name="model-base"');
});

test("vLLM exports what they read of it, as gauges", () => {
  const kinds: Record<string, string> = vllm.metrics;
  for (const { name } of [METRICS.requestsWaiting, METRICS.requestsRunning]) {
    expect(kinds[name]).toBe("gauge");
    expect(`${WAITING}${WANTED}`).toContain(`${name}{`);
  }
});

test("to zero and back: the queue scales, a request wakes, and no pod is ended while it may load", () => {
  const model = keda({ replicas: { min: 0, max: 3 }, startupMinutes: 20 }, { target: 8 });
  expect(scaledObjectSpec(model, ARGS)).toEqual({
    scaleTargetRef: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      name: "llama-factory-inference-base",
    },
    pollingInterval: 15,
    minReplicaCount: 0,
    maxReplicaCount: 3,
    cooldownPeriod: 1200,
    initialCooldownPeriod: 1200,
    fallback: { failureThreshold: 3, replicas: 1, behavior: "currentReplicasIfHigher" },
    advanced: {
      horizontalPodAutoscalerConfig: {
        name: "llama-inference-hpa-base",
        behavior: {
          scaleUp: {
            stabilizationWindowSeconds: 0,
            policies: [{ type: "Percent", value: 100, periodSeconds: 60 }],
          },
          scaleDown: {
            stabilizationWindowSeconds: 300,
            policies: [{ type: "Pods", value: 1, periodSeconds: 300 }],
          },
        },
      },
    },
    triggers: [trigger("waiting", WAITING, "8"), trigger("wanted", WANTED, "1")],
  });
});

test("a download counts as load, and the settings may wait longer", () => {
  const source = { kind: "artifactory", path: "models/m.tar" };
  const change = { source, replicas: { min: 0 }, startupMinutes: 20, fetchMinutes: 40 };
  expect(scaledObjectSpec(keda(change), ARGS)).toMatchObject({ cooldownPeriod: 3600 });
  expect(scaledObjectSpec(keda(change, { idleMinutes: 90 }), ARGS)).toMatchObject({
    cooldownPeriod: 5400,
    initialCooldownPeriod: 5400,
  });
});

test("from two up: the queue alone, and never below the floor when Prometheus is away", () => {
  const spec = scaledObjectSpec(keda({ replicas: { min: 2, max: 6 } }), ARGS);
  expect(spec).toMatchObject({
    minReplicaCount: 2,
    fallback: { replicas: 2 },
    triggers: [trigger("waiting", WAITING, "5")],
  });
  expect(spec).toHaveProperty("triggers.length", 1);
  expect(spec).not.toHaveProperty("cooldownPeriod");
  expect(spec).not.toHaveProperty("initialCooldownPeriod");
});
