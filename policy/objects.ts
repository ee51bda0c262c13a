import type { Resource } from "./rule";
import type { Value } from "./values";
import { UNKNOWN, at, entries, isSet, items, text } from "./values";

/** A container of a pod. */
export interface Container {
  readonly name: string;
  readonly value: Value;
}

const RUNTIME = "spec template spec replicatedJobs template spec template".split(" ");

/** Where each kind keeps the template of its pods; a Pod is one itself. A list on the way has one in each item. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  ReplicaSet: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
  TrainingRuntime: RUNTIME,
  ClusterTrainingRuntime: RUNTIME,
};

/** Kind of a Kubernetes object; undefined for every other resource. */
export function kindOf({ type }: Resource): string | undefined {
  return /^kubernetes:.*:(\w+)$/.exec(type)?.[1];
}

/** The pod templates of a workload, or the Pod itself; none for everything else. */
function podTemplates(resource: Resource): readonly Value[] {
  const path = TEMPLATES[kindOf(resource) ?? ""];
  return path === undefined ? [] : everyAt(resource.props, path);
}

function everyAt(value: Value, [key, ...rest]: readonly string[]): readonly Value[] {
  if (key === undefined) return [value];
  const part = at(value, key);
  return Array.isArray(part)
    ? items(part).flatMap((item) => everyAt(item, rest))
    : everyAt(part, rest);
}

/** The specs of a resource's pods; none where it has none. */
export function podSpecs(resource: Resource): readonly Value[] {
  return podTemplates(resource)
    .map((template) => at(template, "spec"))
    .filter(isSet);
}

/** All containers of a resource's pods; none where they are not known yet. */
export function containers(resource: Resource): readonly Container[] {
  return podSpecs(resource).flatMap(containersOf);
}

/** The containers of one spec of pods. */
export function containersOf(spec: Value): readonly Container[] {
  return ["initContainers", "containers"].flatMap((list) =>
    items(at(spec, list)).map((value, index) => ({
      name: text(at(value, "name")) ?? `${list}[${String(index)}]`,
      value,
    })),
  );
}

/** Name of a Kubernetes object in its namespace. */
export function objectName({ props }: Resource): Value {
  return at(props, "metadata", "name");
}

/** Whether two objects are, or may be, in the same namespace. */
export function sameNamespace(one: Resource, other: Resource): boolean {
  const a: Value = at(one.props, "metadata", "namespace");
  const b: Value = at(other.props, "metadata", "namespace");
  return a === UNKNOWN || b === UNKNOWN || a === b;
}

/** Whether a selector of labels picks the pods of a workload. An empty one picks none here. */
export function selects(selector: Value, workload: Resource): boolean {
  const wanted = entries(selector);
  return podTemplates(workload).some((template) => {
    const labels = at(template, "metadata", "labels");
    return wanted.length > 0 && wanted.every(([key, value]) => at(labels, key) === value);
  });
}

/** Whether a variable of a container comes from a Secret. */
export function isFromSecret(variable: Value): boolean {
  return isSet(at(variable, "valueFrom", "secretKeyRef"));
}
