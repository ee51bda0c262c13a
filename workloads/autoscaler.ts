import type { types } from "@pulumi/kubernetes";
import type { ModelSettings } from "../config/models";
import { modelServerName } from "./names";

/** What one replica is meant to have, where the settings do not say. */
export const DEFAULT_TARGETS = { queue: 5, cpu: 50 } as const;

function scalingMetric({
  metric,
  target = DEFAULT_TARGETS[metric],
}: ModelSettings["autoscaling"]): types.input.autoscaling.v2.MetricSpec {
  return metric === "queue"
    ? {
        type: "Pods",
        pods: {
          metric: { name: "vllm:num_requests_waiting" },
          target: { type: "AverageValue", averageValue: String(target) },
        },
      }
    : {
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: target } },
      };
}

/** What an autoscaler acts on. */
export function scaleTarget({
  name,
}: Pick<ModelSettings, "name">): types.input.autoscaling.v2.CrossVersionObjectReference {
  return { apiVersion: "apps/v1", kind: "Deployment", name: modelServerName(name) };
}

/**
 * How fast replicas change. Up at once, at most doubling a period, since a model takes long to load;
 * down by one pod a period, after a period without need of it.
 */
export function scalingBehavior({
  scaleUpSeconds,
  scaleDownSeconds,
}: ModelSettings["autoscaling"]): types.input.autoscaling.v2.HorizontalPodAutoscalerBehavior {
  return {
    scaleUp: {
      stabilizationWindowSeconds: 0,
      policies: [{ type: "Percent", value: 100, periodSeconds: scaleUpSeconds }],
    },
    scaleDown: {
      stabilizationWindowSeconds: scaleDownSeconds,
      policies: [{ type: "Pods", value: 1, periodSeconds: scaleDownSeconds }],
    },
  };
}

/** The HorizontalPodAutoscaler of a model server. */
export function autoscalerSpec(
  settings: ModelSettings,
): types.input.autoscaling.v2.HorizontalPodAutoscalerSpec {
  return {
    scaleTargetRef: scaleTarget(settings),
    minReplicas: settings.replicas.min,
    maxReplicas: settings.replicas.max,
    metrics: [scalingMetric(settings.autoscaling)],
    behavior: scalingBehavior(settings.autoscaling),
  };
}
