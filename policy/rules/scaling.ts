import { kindOf, objectName, sameNamespace } from "../objects";
import type { StackRule } from "../rule";
import { UNKNOWN, at, isSet } from "../values";

const SCALERS: ReadonlySet<string> = new Set(["HorizontalPodAutoscaler", "ScaledObject"]);

/** Two owners of one number undo each other's work at every update. */
export const autoscalerOwnsReplicas: StackRule = {
  name: "autoscaler-owns-replicas",
  description: "A workload under a HorizontalPodAutoscaler or ScaledObject sets no replicas.",
  remedy: "Leave spec.replicas out; the autoscaler's minReplicas is the number to start with.",
  checkStack: (resources) =>
    resources
      .filter((resource) => SCALERS.has(kindOf(resource) ?? ""))
      .flatMap((scaler) => {
        const target = at(scaler.props, "spec", "scaleTargetRef");
        const name = at(target, "name");
        if (name === UNKNOWN) return [];
        return resources
          .filter((workload) => kindOf(workload) === at(target, "kind"))
          .filter((workload) => objectName(workload) === name && sameNamespace(scaler, workload))
          .filter(({ props }) => isSet(at(props, "spec", "replicas")))
          .map(({ urn }) => ({ urn, message: "It sets replicas, which its autoscaler owns." }));
      }),
};
