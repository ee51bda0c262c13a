import { containersOf, kindOf, podSpecs } from "../objects";
import type { ResourceRule } from "../rule";
import type { Value } from "../values";
import { UNKNOWN, at, entries, isSet, items } from "../values";

/** Volumes that Pod Security `restricted` lets in. */
const VOLUMES = [
  ...["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"],
  ...["projected", "secret"],
];

const ENFORCE = "pod-security.kubernetes.io/enforce";

/** Whether a field is known and is none of the values that are right. */
const isWrong = (value: Value, ...right: readonly Value[]): boolean =>
  value !== UNKNOWN && !right.includes(value);

function podFaults(spec: Value): string[] {
  return [
    ...["hostNetwork", "hostPID", "hostIPC"]
      .filter((field) => at(spec, field) === true)
      .map((field) => `The pod sets ${field}.`),
    ...items(at(spec, "volumes")).flatMap((volume) =>
      entries(volume)
        .filter(([field, value]) => field !== "name" && isSet(value) && !VOLUMES.includes(field))
        .map(([field]) => `The pod has a volume of kind ${field}.`),
    ),
  ];
}

function containerFaults(name: string, container: Value, pod: Value): string[] {
  const own = at(container, "securityContext");
  const either = (...path: readonly string[]): Value => at(own, ...path) ?? at(pod, ...path);
  const added = items(at(own, "capabilities", "add"));
  const dropped = at(own, "capabilities", "drop");
  const faults: readonly (readonly [boolean, string])[] = [
    [at(own, "privileged") === true, "is privileged"],
    [isWrong(at(own, "allowPrivilegeEscalation"), false), "may gain privileges"],
    [dropped !== UNKNOWN && !items(dropped).includes("ALL"), "does not drop ALL capabilities"],
    [added.some((each) => isWrong(each, "NET_BIND_SERVICE")), "adds capabilities"],
    [isWrong(either("runAsNonRoot"), true), "does not set runAsNonRoot"],
    [either("runAsUser") === 0, "runs as root"],
    [
      isWrong(either("seccompProfile", "type"), "RuntimeDefault", "Localhost"),
      "has no seccomp profile",
    ],
    [
      items(at(container, "ports")).some((port) => isSet(at(port, "hostPort"))),
      "takes a port of the node",
    ],
  ];
  return faults.filter(([wrong]) => wrong).map(([, what]) => `Container ${name} ${what}.`);
}

/** What Kubernetes calls `restricted`; the namespace enforces it too, but only once the pods start. */
export const podRestricted: ResourceRule = {
  name: "pod-restricted",
  description: "Pods satisfy the Pod Security level restricted.",
  remedy:
    "Take podDefaults and containerDefaults of workloads/pod.ts, and a PersistentVolumeClaim instead of a hostPath.",
  check: (resource) =>
    podSpecs(resource).flatMap((spec) => {
      if (spec === UNKNOWN) return [];
      const pod = at(spec, "securityContext");
      return [
        ...podFaults(spec),
        ...containersOf(spec).flatMap(({ name, value }) => containerFaults(name, value, pod)),
      ];
    }),
};

/** The namespace holds the line for pods that nobody previewed. */
export const namespaceRestricted: ResourceRule = {
  name: "namespace-restricted",
  description: "Namespaces enforce the Pod Security level restricted.",
  remedy: `Set the label ${ENFORCE} to restricted.`,
  check: (resource) =>
    kindOf(resource) === "Namespace" &&
    isWrong(at(resource.props, "metadata", "labels", ENFORCE), "restricted")
      ? [`The label ${ENFORCE} is not restricted.`]
      : [],
};

/** A token in a pod is a key to the API server. */
export const noServiceAccountToken: ResourceRule = {
  name: "no-service-account-token",
  description: "Pods get no token of the Kubernetes API.",
  remedy: "Set automountServiceAccountToken of the pod to false.",
  check: (resource) =>
    podSpecs(resource).some((spec) => isWrong(at(spec, "automountServiceAccountToken"), false))
      ? ["The pod does not set automountServiceAccountToken to false."]
      : [],
};
