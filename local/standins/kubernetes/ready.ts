import { at, isObject, objectAt, stringAt, type Json, type Props, asText } from "../values.ts";

/** Whether an object is ready, still on its way, or lost. */
export type Readiness =
  | { readonly state: "ready" }
  | { readonly state: "waiting"; readonly message: string }
  | { readonly state: "failed"; readonly message: string };

/** Reads other objects that a verdict needs: the path's answer, or undefined where there is none. */
export type Look = (path: string) => Promise<Props | undefined>;

type Verdict = (object: Props, look: Look) => Readiness | Promise<Readiness>;

const ready: Readiness = { state: "ready" };

function waiting(message: string): Readiness {
  return { state: "waiting", message };
}

function status(object: Props): Props {
  return objectAt(object, "status");
}

function count(value: Json | undefined): number {
  return typeof value === "number" ? value : 0;
}

function condition(object: Props, type: string): Props | undefined {
  const conditions = status(object)["conditions"];
  const found = (Array.isArray(conditions) ? conditions : []).find(
    (item) => at(item, "type") === type,
  );
  return isObject(found) ? found : undefined;
}

function isTrue(object: Props, type: string): boolean {
  return condition(object, type)?.["status"] === "True";
}

function observed(object: Props): boolean {
  return count(status(object)["observedGeneration"]) >= count(at(object, "metadata", "generation"));
}

function reasonOf(found: Props): string {
  return [found["reason"], found["message"]].filter((part) => typeof part === "string").join(": ");
}

function deployment(object: Props): Readiness {
  const wanted = at(object, "spec", "replicas") ?? 1;
  const { updatedReplicas, replicas, availableReplicas } = status(object);
  const progressing = condition(object, "Progressing");
  const rolled = progressing?.["reason"] === "NewReplicaSetAvailable";
  if (observed(object) && wanted === 0 && count(replicas) === 0) {
    return ready;
  }
  const settled = count(updatedReplicas) >= 1 && count(replicas) === count(updatedReplicas);
  if (observed(object) && settled && rolled && isTrue(object, "Available")) {
    return ready;
  }
  const stuck =
    progressing?.["status"] === "False" && observed(object) ? ` (${reasonOf(progressing)})` : "";
  return waiting(`${count(availableReplicas)} of ${asText(wanted)} pods available${stuck}`);
}

function statefulSet(object: Props): Readiness {
  const wanted = count(at(object, "spec", "replicas") ?? 1);
  const { updatedReplicas, readyReplicas, currentRevision, updateRevision } = status(object);
  const rolled = wanted === 0 || count(updatedReplicas) >= wanted;
  return observed(object) &&
    rolled &&
    count(readyReplicas) >= wanted &&
    currentRevision === updateRevision
    ? ready
    : waiting(`${count(readyReplicas)} of ${wanted} pods ready`);
}

function daemonSet(object: Props): Readiness {
  const { desiredNumberScheduled, updatedNumberScheduled, numberAvailable } = status(object);
  const wanted = count(desiredNumberScheduled);
  return observed(object) &&
    count(updatedNumberScheduled) >= wanted &&
    count(numberAvailable) >= wanted
    ? ready
    : waiting(`${count(numberAvailable)} of ${wanted} pods available`);
}

/** Whether the object is a Job that has done its work. */
export function isComplete(object: Props | undefined): boolean {
  return object !== undefined && isTrue(object, "Complete");
}

function job(object: Props): Readiness {
  if (isComplete(object) || at(object, "spec", "suspend") === true) {
    return ready;
  }
  const failed = condition(object, "Failed");
  if (failed?.["status"] === "True") {
    return { state: "failed", message: `the Job failed: ${reasonOf(failed)}` };
  }
  const { active, succeeded, failed: lost } = status(object);
  return waiting(
    `${count(active)} pods running, ${count(succeeded)} succeeded, ${count(lost)} failed`,
  );
}

function pod(object: Props): Readiness {
  const phase = stringAt(status(object), "phase") ?? "Pending";
  if (phase === "Succeeded" || isTrue(object, "Ready")) {
    return ready;
  }
  return phase === "Failed"
    ? { state: "failed", message: `the Pod failed: ${reasonOf(status(object))}` }
    : waiting(`the Pod is ${phase}`);
}

async function claim(object: Props, look: Look): Promise<Readiness> {
  const phase = stringAt(status(object), "phase") ?? "Pending";
  if (phase === "Bound") {
    return ready;
  }
  if (phase === "Lost") {
    return { state: "failed", message: "the claim has lost its volume" };
  }
  const name = at(object, "spec", "storageClassName");
  if (typeof name === "string" && name !== "" && at(object, "spec", "volumeName") === undefined) {
    const storageClass = await look(`/apis/storage.k8s.io/v1/storageclasses/${name}`);
    if (storageClass?.["volumeBindingMode"] === "WaitForFirstConsumer") {
      return ready;
    }
  }
  return waiting(`the claim is ${phase}`);
}

function volume(object: Props): Readiness {
  const phase = stringAt(status(object), "phase") ?? "Pending";
  return phase === "Available" || phase === "Bound" ? ready : waiting(`the volume is ${phase}`);
}

async function service(object: Props, look: Look): Promise<Readiness> {
  const spec = objectAt(object, "spec");
  const type = spec["type"];
  if (type === "LoadBalancer") {
    const ingress = at(object, "status", "loadBalancer", "ingress");
    if (!Array.isArray(ingress) || ingress.length === 0) {
      return waiting("no address of the load balancer yet");
    }
  }
  const headless = spec["clusterIP"] === "None";
  if (type === "ExternalName" || headless || Object.keys(objectAt(spec, "selector")).length === 0) {
    return ready;
  }
  const name = stringAt(objectAt(object, "metadata"), "name") ?? "";
  const namespace = stringAt(objectAt(object, "metadata"), "namespace") ?? "default";
  const selector = encodeURIComponent(`kubernetes.io/service-name=${name}`);
  const slices = await look(
    `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=${selector}`,
  );
  const items = slices?.["items"];
  const endpoints = (Array.isArray(items) ? items : []).flatMap((slice) => {
    const list = at(slice, "endpoints");
    return Array.isArray(list) ? list : [];
  });
  return endpoints.some((endpoint) => at(endpoint, "conditions", "ready") !== false)
    ? ready
    : waiting("no pod is ready behind the Service");
}

function customResourceDefinition(object: Props): Readiness {
  return isTrue(object, "Established") ? ready : waiting("the kind is not served yet");
}

const verdicts: Readonly<Record<string, Verdict>> = {
  "apiextensions.k8s.io/v1/CustomResourceDefinition": customResourceDefinition,
  "apps/v1/DaemonSet": daemonSet,
  "apps/v1/Deployment": deployment,
  "apps/v1/StatefulSet": statefulSet,
  "batch/v1/Job": job,
  "v1/PersistentVolume": volume,
  "v1/PersistentVolumeClaim": claim,
  "v1/Pod": pod,
  "v1/Service": service,
};

/** Judges an object; a kind without a rule is ready once the API server has it. */
export function readiness(object: Props, look: Look): Readiness | Promise<Readiness> {
  const verdict = verdicts[`${asText(object["apiVersion"])}/${asText(object["kind"])}`];
  return verdict?.(object, look) ?? ready;
}
