import type { types } from "@pulumi/kubernetes";
import type { Settings } from "../config/schema";
import { isRemote } from "../config/sources";
import type { ModelRole } from "../config/usedSources";
import { hasIdentity, usedSources } from "../config/usedSources";
import type { Role } from "./names";
import { NAMES } from "./names";

type PolicySpec = types.input.networking.v1.NetworkPolicySpec;
type EgressRule = types.input.networking.v1.NetworkPolicyEgressRule;

/** Settings that say who connects to what outside of the cluster. */
export type EgressSettings = Pick<Settings, "network" | "models" | "training" | "mlflow" | "gcp">;

/** Selects every pod of a role. */
export const everyPod = (role: Role): { readonly matchLabels: Record<string, string> } => ({
  matchLabels: { "app.kubernetes.io/component": role },
});

/** A TCP port, as rules of a NetworkPolicy list it. */
export const tcp = (port: number): types.input.networking.v1.NetworkPolicyPort[] => [
  { protocol: "TCP", port },
];

/** Private, shared, loopback and link-local ranges: clusters, offices, metadata servers. */
const NOT_PUBLIC = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.168.0.0/16",
];

/** Where GKE answers for Workload Identity: by its own agent, or with Dataplane V2. */
export const METADATA_SERVER: EgressRule[] = [
  { to: [{ ipBlock: { cidr: "169.254.169.252/32" } }], ports: tcp(988) },
  { to: [{ ipBlock: { cidr: "169.254.169.254/32" } }], ports: tcp(80) },
];

/** A workload that reads or writes models, or reports to W&B, outside of the cluster. */
interface Use {
  readonly role: ModelRole;
  /** Label `app.kubernetes.io/instance` of its pods. */
  readonly instance: string;
  /** Whether it asks Google who it is. */
  readonly byIdentity: boolean;
}

function uses(settings: EgressSettings): Use[] {
  const identity = (role: ModelRole, access: { kind: string; anonymous?: boolean }): boolean =>
    access.kind === "gcs" && access.anonymous !== true && hasIdentity(settings, role);
  const publish = settings.training?.publish;
  const tracking = settings.training?.tracking;
  const wandb = tracking?.wandb === true && tracking.wandbMode === "online";
  return [
    ...(wandb
      ? [{ role: "training" as const, instance: NAMES.trainingJob, byIdentity: false }]
      : []),
    ...usedSources(settings).flatMap(({ role, model, source }) =>
      isRemote(source)
        ? [{ role, instance: model ?? NAMES.trainingJob, byIdentity: identity(role, source) }]
        : [],
    ),
    ...(publish === undefined
      ? []
      : [
          {
            role: "training" as const,
            instance: NAMES.trainingJob,
            byIdentity: identity("training", publish),
          },
        ]),
  ];
}

/** The repositories: the addresses that are named, or every public one on port 443. */
export function repositories({ network }: Pick<Settings, "network">): EgressRule[] {
  if (network.egress === undefined) {
    const everywhere = { cidr: "0.0.0.0/0", except: NOT_PUBLIC };
    return [{ to: [{ ipBlock: everywhere }], ports: tcp(443) }];
  }
  return network.egress.map(({ cidr, ports }) => ({
    to: [{ ipBlock: { cidr } }],
    ports: ports.flatMap((port) => tcp(port)),
  }));
}

/**
 * NetworkPolicies by name that let the pods that download or publish models reach the repositories,
 * and those among them that use Workload Identity its metadata server. No other pod gets out.
 */
export function egressPolicies(settings: EgressSettings): Record<string, PolicySpec> {
  const all = uses(settings);
  const policy = (role: ModelRole, of: readonly Use[], egress: EgressRule[]): PolicySpec[] => {
    const instances = [
      ...new Set(of.filter((use) => use.role === role).map(({ instance }) => instance)),
    ];
    if (instances.length === 0 || egress.length === 0) return [];
    const key = "app.kubernetes.io/instance";
    return [
      {
        podSelector: {
          ...everyPod(role),
          matchExpressions: [{ key, operator: "In", values: instances }],
        },
        policyTypes: ["Egress"],
        egress,
      },
    ];
  };
  const roles = ["training", "inference"] as const;
  const named = (suffix: string, of: readonly Use[], egress: EgressRule[]) =>
    roles.flatMap((role) =>
      policy(role, of, egress).map((spec) => [`${role}-to-${suffix}`, spec] as const),
    );
  return Object.fromEntries([
    ...named("repositories", all, repositories(settings)),
    ...named(
      "metadata-server",
      all.filter(({ byIdentity }) => byIdentity),
      METADATA_SERVER,
    ),
  ]);
}
