import { autoscalerSpec } from "../../workloads/autoscaler";
import { modelOf } from "../support/settings";

test("the autoscaler follows waiting requests by default", () => {
  expect(autoscalerSpec(modelOf())).toMatchObject({
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

test("it follows CPU utilisation where the cluster has no custom metrics", () => {
  expect(autoscalerSpec(modelOf({ autoscaling: { metric: "cpu", target: 70 } })).metrics).toEqual([
    {
      type: "Resource",
      resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 70 } },
    },
  ]);
});

test.each<[string, object, number, number]>([
  ["by default", {}, 60, 300],
  ["as the settings say", { scaleUpSeconds: 15, scaleDownSeconds: 30 }, 15, 30],
])("replicas double a period and go one by one, %s", (_, autoscaling, up, down) => {
  expect(autoscalerSpec(modelOf({ autoscaling })).behavior).toEqual({
    scaleUp: {
      stabilizationWindowSeconds: 0,
      policies: [{ type: "Percent", value: 100, periodSeconds: up }],
    },
    scaleDown: {
      stabilizationWindowSeconds: down,
      policies: [{ type: "Pods", value: 1, periodSeconds: down }],
    },
  });
});
