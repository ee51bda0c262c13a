import { liveAnchor } from "./anchor.ts";
import { output } from "./commands.ts";
import { network, nodeName } from "./options.ts";
import type { ClusterPaths } from "./options.ts";
import { Final, until } from "./poll.ts";

const SECONDS = 180;
const EVERY_MS = 250;

interface PodsState {
  readonly items: readonly {
    readonly status: {
      readonly containerStatuses?: readonly {
        readonly ready: boolean;
        readonly state?: { readonly running?: { readonly startedAt: string } };
      }[];
    };
  }[];
}

/**
 * Whether a pod has a ready container that was started since the given time. What the API says of a cluster that was
 * killed and started again is old until the kubelet reports, and a container's start is what tells.
 */
export function podIsReady(pods: PodsState, since: Date): boolean {
  return pods.items
    .flatMap(({ status }) => status.containerStatuses ?? [])
    .some(({ ready, state }) => ready && isSince(state?.running?.startedAt, since));
}

/** Kubernetes tells time in whole seconds. */
function isSince(time: string | undefined, since: Date): boolean {
  return time !== undefined && Date.parse(time) >= Math.floor(since.getTime() / 1000) * 1000;
}

/** Waits until the cluster takes objects and images and resolves names. */
export async function untilReady(
  input: { hyperkube: string; paths: ClusterPaths; nodeAddress: string; startedAt: Date },
  say: (step: string) => void,
): Promise<void> {
  const { hyperkube, paths, nodeAddress, startedAt } = input;
  const wait = (what: string, holds: () => Promise<boolean>): Promise<void> => {
    say(what);
    const ask = async (): Promise<true | undefined> => ((await holds()) ? true : undefined);
    const described = `${what} (see the logs in ${paths.log})`;
    return until(described, SECONDS, () => failIfEnded(paths, ask), EVERY_MS).then(() => undefined);
  };
  const kubectl = (...args: string[]): Promise<string> => {
    const common = ["kubectl", "--kubeconfig", paths.kubeconfig, "--request-timeout=5s"];
    return output(hyperkube, [...common, ...args]);
  };
  await wait("API server", async () => (await kubectl("get", "--raw", "/readyz")) === "ok");
  const ready = `-o=jsonpath={.status.conditions[?(@.type=="Ready")].status}`;
  await wait("node", async () => (await kubectl("get", "node", nodeName, ready)) === "True");
  const dns = ["get", "pods", "--namespace=kube-system", "--selector=k8s-app=kube-dns", "-o=json"];
  const registry = `http://${nodeAddress}:${network.registryPort}/v2/`;
  await wait("registry", async () => (await fetch(registry)).ok);
  await wait("DNS", async () =>
    podIsReady(JSON.parse(await kubectl(...dns)) as PodsState, startedAt),
  );
}

async function failIfEnded<T>(paths: ClusterPaths, ask: () => Promise<T>): Promise<T> {
  if (liveAnchor(paths.clusterAnchor) === undefined) {
    throw new Final(`the node has ended: see ${paths.log}/node.log`);
  }
  return ask();
}
