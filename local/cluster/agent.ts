import { CoreV1Api, KubeConfig, makeInformer, NetworkingV1Api } from "@kubernetes/client-node";
import type {
  KubernetesObject,
  ListPromise,
  V1Namespace,
  V1NetworkPolicy,
  V1Pod,
} from "@kubernetes/client-node";

import { replaceFile } from "../files.ts";
import { output } from "./commands.ts";
import { policyRules } from "./networkPolicy.ts";
import { inside } from "./options.ts";
import { scrapeTargets } from "./scrapeTargets.ts";

const SETTLE_MS = 50;
const AGAIN_MS = 1_000;

/**
 * The node's own agent. It watches pods, namespaces and NetworkPolicies and keeps two things in step with them: the
 * kernel's packet rules, since the bridge network enforces no policy, and the list of pods that Prometheus scrapes,
 * since Debian's is built without Kubernetes discovery.
 */
export async function runAgent(kubeconfig: string): Promise<void> {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  const networking = config.makeApiClient(NetworkingV1Api);
  const rules = new PacketRules();
  const work = new Settled(async () => {
    const input = { pods: pods.list(), namespaces: namespaces.list(), policies: policies.list() };
    replaceFile(inside.targets, JSON.stringify(scrapeTargets(input.pods), null, 2));
    await rules.apply(policyRules(input));
  });
  const follow = <T extends KubernetesObject>(path: string, list: ListPromise<T>): Watched<T> =>
    watch(config, path, list, () => work.request());
  const pods = follow<V1Pod>("/api/v1/pods", () => core.listPodForAllNamespaces());
  const namespaces = follow<V1Namespace>("/api/v1/namespaces", () => core.listNamespace());
  const policies = follow<V1NetworkPolicy>("/apis/networking.k8s.io/v1/networkpolicies", () =>
    networking.listNetworkPolicyForAllNamespaces(),
  );
  await Promise.all([pods.listed, namespaces.listed, policies.listed]);
  work.begin();
}

interface Watched<T> {
  list(): readonly T[];
  /** Resolves when everything has been listed once. */
  readonly listed: Promise<void>;
}

function watch<T extends KubernetesObject>(
  config: KubeConfig,
  path: string,
  list: ListPromise<T>,
  changed: () => void,
): Watched<T> {
  const informer = makeInformer(config, path, list);
  const listed = new Promise<void>((done) => {
    const again = (error: unknown): void => {
      report(`watching ${path}`, error);
      setTimeout(begin, AGAIN_MS);
    };
    const begin = (): void => {
      informer.start().then(() => {
        done();
        changed();
      }, again);
    };
    for (const verb of ["add", "update", "delete"] as const) informer.on(verb, changed);
    informer.on("error", again);
    begin();
  });
  return { list: () => informer.list(), listed };
}

/**
 * Runs its work soon after it was asked for, never twice at a time, and again after a failure. Before it begins it does
 * nothing: rules that follow from half of the objects would open what the kernel's present rules close.
 */
class Settled {
  readonly #work: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #busy = false;
  #begun = false;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  begin(): void {
    this.#begun = true;
    this.request(0);
  }

  request(delay = SETTLE_MS): void {
    if (!this.#begun) return;
    this.#timer ??= setTimeout(() => void this.#run(), delay);
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    if (this.#busy) {
      this.request();
      return;
    }
    this.#busy = true;
    try {
      await this.#work();
    } catch (error) {
      report("applying", error);
      this.request(AGAIN_MS);
    } finally {
      this.#busy = false;
    }
  }
}

/** The kernel's rules as last applied. */
class PacketRules {
  #applied = "";

  async apply(rules: string): Promise<void> {
    if (rules === this.#applied) return;
    await output("nft", ["--file", "-"], { input: rules });
    this.#applied = rules;
  }
}

function report(what: string, error: unknown): void {
  process.stderr.write(`${new Date().toISOString()} ${what}: ${String(error)}\n`);
}
