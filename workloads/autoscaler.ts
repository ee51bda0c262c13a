import type { types } from "@pulumi/kubernetes";
import type { ModelSettings } from "../config/models";
import { modelServerName } from "./names";

const DEFAULT_TARGETS = { queue: 5, cpu: 50 } as const;

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

/**
 * The autoscaler of a model server. Up at once, at most doubling a period, since a model takes long
 * to load; down by one pod a period, after a period without need of it.
 */
export function autoscalerSpec(
  settings: ModelSettings,
): types.input.autoscaling.v2.HorizontalPodAutoscalerSpec {
  const { scaleUpSeconds, scaleDownSeconds } = settings.autoscaling;
  return {
    scaleTargetRef: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      name: modelServerName(settings.name),
    },
    minReplicas: settings.replicas.min,
    maxReplicas: settings.replicas.max,
    metrics: [scalingMetric(settings.autoscaling)],
    behavior: {
      scaleUp: {
        stabilizationWindowSeconds: 0,
        policies: [{ type: "Percent", value: 100, periodSeconds: scaleUpSeconds }],
      },
      scaleDown: {
        stabilizationWindowSeconds: scaleDownSeconds,
        policies: [{ type: "Pods", value: 1, periodSeconds: scaleDownSeconds }],
      },
    },
  };
}
