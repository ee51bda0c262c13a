import type { ModelSettings } from "../config/models";
import { loadMinutes } from "../config/models";
import { DEFAULT_TARGETS, scaleTarget, scalingBehavior } from "./autoscaler";
import { clusterName } from "./envoyRoutes";
import { seriesOf } from "./monitoring/metrics";
import { NAMES } from "./names";

/** Where KEDA finds the series of a stack. */
export interface KedaArgs {
  /** Name of the stack's namespace. */
  readonly namespace: string;
  /** URL of Prometheus as KEDA reaches it. */
  readonly prometheusUrl: string;
}

/** KEDA takes over the HorizontalPodAutoscaler of its name that the server may have had before. */
export const TAKE_OVER = { "scaledobject.keda.sh/transfer-hpa-ownership": "true" } as const;

/** Seconds between two looks at Prometheus. */
const POLLING_SECONDS = 15;
/** Looks in a row that Prometheus may leave unanswered. */
const FAILURES = 3;
/** How long a request counts. Prometheus must have looked twice within it. */
const WINDOW = "2m";

/**
 * Counters of the front door, one of which a request for a model moves: requests that it knew no
 * address for, and connections that it tried, each for one request, also those that were refused.
 */
export const FRONT_DOOR_COUNTERS = {
  lost: "envoy_cluster_upstream_cx_none_healthy",
  tried: "envoy_cluster_upstream_cx_total",
} as const;

/** PromQL that a ScaledObject is made of. */
export interface ScalingQueries {
  /** Requests that wait in the queues of all replicas. */
  readonly waiting: string;
  /** 1 while anybody asks for the model or it answers, with or without a pod; otherwise 0. */
  readonly wanted: string;
}

/** The queries about one model: its series have its first served name and the stack's namespace. */
export function scalingQueries(
  settings: Pick<ModelSettings, "name" | "servedName">,
  namespace: string,
): ScalingQueries {
  const series = seriesOf(namespace);
  const model = `model_name=${JSON.stringify(settings.servedName ?? settings.name)}`;
  const door = `{namespace="${namespace}", envoy_cluster_name="${clusterName(settings)}"}`;
  const parts = [
    `sum(${series.of("requestsRunning", model)})`,
    ...Object.values(FRONT_DOOR_COUNTERS).map((name) => `sum(increase(${name}${door}[${WINDOW}]))`),
  ];
  return {
    waiting: `sum(${series.of("requestsWaiting", model)})`,
    wanted: `${parts.map((part) => `(${part} or vector(0))`).join(" + ")} > bool 0`,
  };
}

/** The `spec` of a ScaledObject: the queue scales the replicas, and requests wake the first one. */
export function scaledObjectSpec(
  settings: ModelSettings,
  { namespace, prometheusUrl }: KedaArgs,
): object {
  const { autoscaling, replicas } = settings;
  const { waiting, wanted } = scalingQueries(settings, namespace);
  const { target = DEFAULT_TARGETS.queue, idleMinutes = loadMinutes(settings) } = autoscaling;
  const trigger = (name: string, query: string, threshold: number): object => ({
    type: "prometheus",
    name,
    metricType: "AverageValue",
    metadata: { serverAddress: prometheusUrl, query, threshold: String(threshold) },
  });
  const toZero = replicas.min === 0;
  // A new pod is not taken away while it loads, whether a request or `pulumi up` has started it.
  const idle = { cooldownPeriod: idleMinutes * 60, initialCooldownPeriod: idleMinutes * 60 };
  return {
    scaleTargetRef: scaleTarget(settings),
    pollingInterval: POLLING_SECONDS,
    minReplicaCount: replicas.min,
    maxReplicaCount: replicas.max,
    ...(toZero ? idle : {}),
    // Without an answer of Prometheus no replica is taken away, and a model at zero is woken.
    fallback: {
      failureThreshold: FAILURES,
      replicas: Math.max(replicas.min, 1),
      behavior: "currentReplicasIfHigher",
    },
    advanced: {
      horizontalPodAutoscalerConfig: {
        name: `${NAMES.autoscaler}-${settings.name}`,
        behavior: scalingBehavior(autoscaling),
      },
    },
    triggers: [
      trigger("waiting", waiting, target),
      ...(toZero ? [trigger("wanted", wanted, 1)] : []),
    ],
  };
}
