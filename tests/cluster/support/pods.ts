import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, kubectl, list } from "./platform";

/** A pod, as far as the tests read it. */
export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly containerID?: string;
      readonly restartCount: number;
    }[];
  };
}

/** The pods of a model or of the front door. */
export const podsOf = (instance: string): Promise<readonly Pod[]> =>
  list<Pod>("pods", "-l", `app.kubernetes.io/instance=${instance}`);

const isReady = ({ status }: Pod): boolean =>
  status.conditions?.some((each) => each.type === "Ready" && each.status === "True") === true;

/** Waits until an instance has so many pods, all of them ready and none that is ending. */
export const settled = (instance: string, count: number): Promise<readonly Pod[]> =>
  eventually(`${count} ready pods of ${instance} and no other`, 480, async () => {
    const pods = await podsOf(instance);
    const stays = pods.every((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined);
    return stays && pods.length === count ? pods : undefined;
  });

/** How many pods a Deployment was told to have. */
export async function replicasOf(deployment: string): Promise<number> {
  const args = ["get", "deployment", deployment, "-o", "jsonpath={.spec.replicas}"];
  return Number(await kubectl(...args));
}

/** Whether an autoscaler wants more pods than it may have. */
export async function wantsMore(autoscaler: string): Promise<boolean> {
  const path = 'jsonpath={.status.conditions[?(@.type=="ScalingLimited")].reason}';
  return (await kubectl("get", "hpa", autoscaler, "-o", path)) === "TooManyReplicas";
}

/**
 * Calls `use` while there is a pod of this name and `spec`, which need not be ready yet.
 *
 * @param scratch - folder for the pod's manifest.
 */
export async function withPod<T>(
  name: string,
  spec: object,
  scratch: string,
  use: () => Promise<T>,
): Promise<T> {
  const manifest = join(scratch, `${name}.json`);
  const object = { apiVersion: "v1", kind: "Pod", metadata: { name }, spec };
  writeFileSync(manifest, JSON.stringify(object));
  await kubectl("create", "-f", manifest);
  try {
    return await use();
  } finally {
    await kubectl("delete", "pod", name, "--now");
  }
}

/** Process of this machine that is the first one of a container. */
export function firstProcess({ status }: Pod): number {
  const id = status.containerStatuses?.[0]?.containerID?.replace(/^.*:\/\//, "");
  if (id === undefined) throw new Error("the pod has no container");
  const found = readdirSync("/proc").find((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const first = /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
      return first && readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(id);
    } catch (error) {
      // It has ended in between.
      if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
      throw error;
    }
  });
  if (found === undefined) throw new Error(`no process of container ${id}`);
  return Number(found);
}
