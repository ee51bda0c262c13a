import { list } from "./platform";

/** An object of the cluster, as far as a rollout can be told from it. */
export interface ApiObject {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly generation?: number;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[];
  };
  readonly spec?: object;
}

/** Kinds whose pods and generation tell of a rollout. */
export const ROLLED_KINDS = "deployments,statefulsets,jobs,pods";

interface Workload {
  /** Of the object, and of what it was told to be. */
  readonly version: string;
  readonly pods: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Every workload of a namespace with its pods, and the Secrets that each pod refers to. */
export type Workloads = ReadonlyMap<string, Workload>;

/** A pod of a Deployment belongs to a ReplicaSet, whose name ends with a hash. */
function ownerOf({ metadata }: ApiObject): string {
  const [owner] = metadata.ownerReferences ?? [];
  if (owner === undefined) return `Pod ${metadata.name}`;
  return owner.kind === "ReplicaSet"
    ? `Deployment ${owner.name.replace(/-[^-]+$/, "")}`
    : `${owner.kind} ${owner.name}`;
}

/** Names of the Secrets in the environment and the volumes of a pod. */
function secretsOf({ spec }: ApiObject): ReadonlySet<string> {
  const text = JSON.stringify(spec);
  const fields = /"secretKeyRef":(\{[^}]*\})|"secretName":"([^"]+)"/g;
  const names = [...text.matchAll(fields)].map(([, reference, name]) =>
    reference === undefined ? name : (JSON.parse(reference) as { name: string }).name,
  );
  return new Set(names.filter((name) => name !== undefined));
}

/** Reads the objects of {@link ROLLED_KINDS} in a namespace. */
export function workloadsOf(objects: readonly ApiObject[]): Workloads {
  const pods = objects.filter(
    ({ kind, metadata }) => kind === "Pod" && metadata.deletionTimestamp === undefined,
  );
  const found = objects
    .filter(({ kind }) => kind !== "Pod")
    .map(({ kind, metadata }) => {
      const name = `${kind} ${metadata.name}`;
      const own = pods.filter((pod) => ownerOf(pod) === name);
      const version = `${metadata.uid} ${String(metadata.generation)}`;
      const secrets = new Map(own.map((pod) => [pod.metadata.uid, secretsOf(pod)]));
      return [name, { version, pods: secrets }] as const;
    });
  return new Map(found);
}

/** Workloads of the running platform. */
export const platformWorkloads = async (): Promise<Workloads> =>
  workloadsOf(await list<ApiObject>(ROLLED_KINDS));

/** A Secret's name without the suffix that Pulumi gives it. */
const baseOf = (secret: string): string => secret.replace(/-[^-]+$/, "");

/**
 * The workloads that have changed or whose pods have, each with the Secrets that its pods have got anew, by the base
 * of their names.
 *
 * @throws where one has changed and a pod of it has stayed.
 */
export function rolled(before: Workloads, after: Workloads): Record<string, readonly string[]> {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  return Object.fromEntries(
    names.flatMap((name) => {
      const [old, now] = [before.get(name), after.get(name)];
      const uids = (workload?: Workload): string =>
        [...(workload?.pods.keys() ?? [])].sort().join();
      if (old?.version === now?.version && uids(old) === uids(now)) return [];
      const stayed = [...(now?.pods.keys() ?? [])].filter((uid) => old?.pods.has(uid));
      if (stayed.length > 0) throw new Error(`${name} has changed, and a pod of it has stayed`);
      const known = new Set([...(old?.pods.values() ?? [])].flatMap((each) => [...each]));
      const secrets = [...(now?.pods.values() ?? [])].flatMap((each) => [...each]);
      const fresh = secrets.filter((secret) => !known.has(secret)).map(baseOf);
      return [[name, [...new Set(fresh)].sort()]];
    }),
  );
}
