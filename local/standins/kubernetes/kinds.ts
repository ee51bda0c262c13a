import type { Change } from "../diff.ts";
import { touches } from "../diff.ts";
import { at, stringAt, type Props } from "../values.ts";

/** Kinds of the built-in groups that live outside namespaces, so that a plan needs no question to the server. */
const clusterScoped = new Set([
  "APIService",
  "CSIDriver",
  "CSINode",
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "FlowSchema",
  "IngressClass",
  "MutatingWebhookConfiguration",
  "Namespace",
  "Node",
  "PersistentVolume",
  "PriorityClass",
  "PriorityLevelConfiguration",
  "RuntimeClass",
  "StorageClass",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding",
  "ValidatingWebhookConfiguration",
  "VolumeAttachment",
]);

/** Whether the group is one of Kubernetes' own. */
export function isBuiltIn(apiVersion: string): boolean {
  const group = apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
  return !group.includes(".") || group.endsWith(".k8s.io");
}

/** Whether a built-in kind lives outside namespaces. */
export function isClusterScoped(kind: string): boolean {
  return clusterScoped.has(kind);
}

const containerFields = [
  "args",
  "command",
  "env",
  "imagePullPolicy",
  "lifecycle",
  "livenessProbe",
  "ports",
  "readinessProbe",
  "resources",
  "securityContext",
  "stdin",
  "stdinOnce",
  "terminationMessagePath",
  "terminationMessagePolicy",
  "tty",
  "volumeDevices",
  "volumeMounts",
  "workingDir",
  "image",
];

const podFields = [
  "affinity",
  "automountServiceAccountToken",
  "dnsConfig",
  "dnsPolicy",
  "enableServiceLinks",
  "hostAliases",
  "hostIPC",
  "hostNetwork",
  "hostPID",
  "hostname",
  "imagePullSecrets",
  "nodeName",
  "nodeSelector",
  "overhead",
  "preemptionPolicy",
  "priority",
  "priorityClassName",
  "readinessGates",
  "restartPolicy",
  "runtimeClassName",
  "schedulerName",
  "securityContext",
  "serviceAccount",
  "serviceAccountName",
  "shareProcessNamespace",
  "subdomain",
  "terminationGracePeriodSeconds",
  "volumes",
];

const volumeSources = [
  "awsElasticBlockStore",
  "azureDisk",
  "azureFile",
  "cephfs",
  "cinder",
  "csi",
  "fc",
  "flexVolume",
  "flocker",
  "gcePersistentDisk",
  "glusterfs",
  "hostPath",
  "iscsi",
  "local",
  "nfs",
  "photonPersistentDisk",
  "portworxVolume",
  "quobyte",
  "rbd",
  "scaleIO",
  "storageos",
  "vsphereVolume",
];

const inSpec = (fields: readonly string[]): string[] => fields.map((field) => `spec.${field}`);

/** The properties whose change makes a new object, by group and kind, as the official provider has them. */
const replacing: Readonly<Record<string, readonly string[]>> = {
  "apps/DaemonSet": ["spec.selector"],
  "apps/Deployment": ["spec.selector"],
  "apps/StatefulSet": inSpec([
    "podManagementPolicy",
    "revisionHistoryLimit",
    "selector",
    "serviceName",
    "volumeClaimTemplates",
  ]),
  "batch/Job": inSpec(["completions", "parallelism", "selector", "template"]),
  "core/ConfigMap": ["binaryData", "data"],
  "core/PersistentVolume": inSpec(volumeSources),
  "core/PersistentVolumeClaim": inSpec([
    "accessModes",
    "selector",
    "storageClassName",
    "volumeName",
  ]),
  "core/Pod": inSpec([
    ...podFields,
    ...containerFields.flatMap((field) => [`containers.${field}`, `initContainers.${field}`]),
  ]),
  "core/ResourceQuota": ["spec.scopes"],
  "core/Secret": ["type", "stringData", "data"],
  "core/Service": ["spec.clusterIP"],
  "rbac.authorization.k8s.io/ClusterRoleBinding": ["roleRef"],
  "rbac.authorization.k8s.io/RoleBinding": ["roleRef"],
  "storage.k8s.io/StorageClass": ["parameters", "provisioner"],
};

/** Settings of the provider that let two kinds be changed in place. */
export interface Mutability {
  readonly configMaps: boolean;
  readonly secrets: boolean;
}

/** The changes that need a new object. */
export function replacingChanges(
  object: Props,
  changes: readonly Change[],
  mutable: Mutability,
): Change[] {
  const apiVersion = stringAt(object, "apiVersion") ?? "";
  const group = apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "core";
  const kind = stringAt(object, "kind") ?? "";
  const frozen = object["immutable"] === true;
  let properties = replacing[`${group}/${kind}`] ?? [];
  if (kind === "Secret" && mutable.secrets && !frozen) {
    properties = ["type"];
  }
  if (kind === "ConfigMap" && mutable.configMaps && !frozen) {
    properties = [];
  }
  const always = ["metadata.name", "metadata.namespace", "kind"];
  return changes.filter((change) =>
    [...always, ...properties].some((property) => touches(change, property)),
  );
}

/** The value of an annotation of the object. */
export function annotation(object: Props, name: string): string | undefined {
  const value = at(object, "metadata", "annotations", `pulumi.com/${name}`);
  return typeof value === "string" ? value : undefined;
}

/** Kinds that never own other objects: waiting for their dependants would only cost time. */
const childless = new Set([
  "ConfigMap",
  "HorizontalPodAutoscaler",
  "Namespace",
  "NetworkPolicy",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "PodDisruptionBudget",
  "Role",
  "RoleBinding",
  "Secret",
  "ServiceAccount",
  "StorageClass",
]);

/** How the object and its dependants are deleted. */
export function deletionPropagation(object: Props): string {
  const known: Record<string, string> = {
    background: "Background",
    foreground: "Foreground",
    orphan: "Orphan",
  };
  const asked = known[annotation(object, "deletionPropagationPolicy")?.toLowerCase() ?? ""];
  return asked ?? (childless.has(stringAt(object, "kind") ?? "") ? "Background" : "Foreground");
}
