import type {
  IpBlock,
  Namespace,
  NetworkPolicy,
  NetworkPolicySpec,
  Pod,
  PolicyPeer,
  PolicyPort,
} from "./kubernetesTypes.ts";

import { selects } from "./labelSelector.ts";

/** What the rules follow from. */
export interface PolicyInput {
  readonly policies: readonly NetworkPolicy[];
  readonly pods: readonly Pod[];
  readonly namespaces: readonly Namespace[];
}

interface Endpoint {
  readonly ip: string;
  readonly pod: Pod;
}

interface Scope {
  readonly endpoints: readonly Endpoint[];
  readonly namespaceLabels: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

/** A side of a connection: addresses that nft understands, and the pods behind them. */
interface Peer {
  readonly match: string;
  readonly endpoints: readonly Endpoint[];
}

type Direction = "Ingress" | "Egress";

const TABLE = "llmops_network_policy";

/**
 * The NetworkPolicies of a node as one nftables transaction, IPv4 only.
 *
 * A packet between pods passes the chain of the pod it leaves and then the chain of the pod it reaches. Answers always
 * pass. What the node itself sends (the kubelet's probes, the API server's calls) meets no rule; what comes from the
 * machine through a NodePort does, as traffic from outside.
 */
export function policyRules(input: PolicyInput): string {
  const scope: Scope = {
    endpoints: input.pods.flatMap(endpointOf).sort((one, other) => (one.ip < other.ip ? -1 : 1)),
    namespaceLabels: new Map(
      input.namespaces.map(({ metadata }) => [metadata?.name ?? "", metadata?.labels ?? {}]),
    ),
  };
  const policies = [...input.policies].sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
  const chains: string[] = [];
  const dispatch: Record<Direction, string[]> = { Ingress: [], Egress: [] };
  for (const endpoint of scope.endpoints) {
    for (const direction of ["Ingress", "Egress"] as const) {
      const rules = rulesFor(endpoint, direction, policies, scope);
      if (rules === undefined) continue;
      const name = `${direction.toLowerCase()}_${endpoint.ip.replaceAll(".", "_")}`;
      chains.push(chain(name, [...rules.map((rule) => `${rule}return`), "counter drop"]));
      dispatch[direction].push(`${endpoint.ip} : jump ${name}`);
    }
  }
  const egress = lookup("saddr", dispatch.Egress);
  const ingress = lookup("daddr", dispatch.Ingress);
  const answers = "ct state established,related accept";
  const hook = (name: string): string =>
    `type filter hook ${name} priority filter - 5; policy accept;`;
  return [
    `table ip ${TABLE} {}`,
    `delete table ip ${TABLE}`,
    `table ip ${TABLE} {`,
    ...chains,
    chain("between_pods", [hook("forward"), answers, ...egress, ...ingress]),
    chain("to_node", [hook("input"), answers, ...egress]),
    "}",
    "",
  ].join("\n");
}

/** Matches of what a pod may receive or send; undefined where no policy isolates it. */
function rulesFor(
  target: Endpoint,
  direction: Direction,
  policies: readonly NetworkPolicy[],
  scope: Scope,
): string[] | undefined {
  const { namespace, labels } = target.pod.metadata ?? {};
  const applying = policies.filter(
    ({ metadata, spec }) =>
      metadata?.namespace === namespace &&
      selects(spec?.podSelector ?? {}, labels) &&
      directionsOf(spec).includes(direction),
  );
  if (applying.length === 0) return undefined;
  const rules = applying.flatMap(({ spec }) => {
    if (direction === "Ingress") {
      return (spec?.ingress ?? []).flatMap((rule) =>
        peersOf(rule._from ?? rule.from, "saddr", namespace ?? "", scope).flatMap((peer) =>
          portMatches(rule.ports, () => [{ match: peer.match, pod: target.pod }], peer.match),
        ),
      );
    }
    return (spec?.egress ?? []).flatMap(({ to, ports }) =>
      peersOf(to, "daddr", namespace ?? "", scope).flatMap((peer) => {
        const each = (): Named[] =>
          peer.endpoints.map(({ ip, pod }) => ({ match: `ip daddr ${ip} `, pod }));
        return portMatches(ports, each, peer.match);
      }),
    );
  });
  return [...new Set(rules)];
}

function directionsOf(spec: NetworkPolicySpec | undefined): Direction[] {
  const types = spec?.policyTypes;
  if (types !== undefined) return types.filter((type) => type === "Ingress" || type === "Egress");
  return spec?.egress === undefined ? ["Ingress"] : ["Ingress", "Egress"];
}

function peersOf(
  peers: readonly PolicyPeer[] | undefined,
  field: "saddr" | "daddr",
  namespace: string,
  { endpoints, namespaceLabels }: Scope,
): Peer[] {
  if (peers === undefined || peers.length === 0) return [{ match: "", endpoints }];
  return peers.flatMap(({ ipBlock, namespaceSelector, podSelector }) => {
    if (ipBlock !== undefined) return blockPeer(ipBlock, field);
    const chosen = endpoints.filter(({ pod }) => {
      const own = pod.metadata?.namespace ?? "";
      const inNamespace =
        namespaceSelector === undefined
          ? own === namespace
          : selects(namespaceSelector, namespaceLabels.get(own));
      return (
        inNamespace && (podSelector === undefined || selects(podSelector, pod.metadata?.labels))
      );
    });
    if (chosen.length === 0) return [];
    return [{ match: `ip ${field} ${set(chosen.map(({ ip }) => ip))} `, endpoints: chosen }];
  });
}

function blockPeer({ cidr, except = [] }: IpBlock, field: string): Peer[] {
  if (cidr.includes(":")) return [];
  const but = except.length === 0 ? "" : `ip ${field} != ${set(except)} `;
  return [{ match: `ip ${field} ${cidr} ${but}`, endpoints: [] }];
}

interface Named {
  readonly match: string;
  readonly pod: Pod;
}

/** Joins a peer's match with each port. A port's name means what the receiving pod calls so. */
function portMatches(
  ports: readonly PolicyPort[] | undefined,
  receivers: () => readonly Named[],
  match: string,
): string[] {
  if (ports === undefined || ports.length === 0) return [match];
  return ports.flatMap(({ protocol = "TCP", port, endPort }) => {
    const name = protocol.toLowerCase();
    if (port === undefined) return [`${match}meta l4proto ${name} `];
    if (typeof port === "number") {
      const last = endPort === undefined ? "" : `-${endPort}`;
      return [`${match}${name} dport ${port}${last} `];
    }
    return receivers().flatMap(({ match: receiver, pod }) =>
      namedPorts(pod, port, protocol).map((number) => `${receiver}${name} dport ${number} `),
    );
  });
}

function namedPorts(pod: Pod, name: string, protocol: string): number[] {
  const { containers = [], initContainers = [] } = pod.spec ?? {};
  return [...containers, ...initContainers]
    .flatMap(({ ports }) => ports ?? [])
    .filter((port) => port.name === name && (port.protocol ?? "TCP") === protocol)
    .map(({ containerPort }) => containerPort);
}

/** A pod that has an address of its own now; addresses of ended pods may be somebody else's by then. */
function endpointOf(pod: Pod): Endpoint[] {
  const { podIP, phase } = pod.status ?? {};
  if (podIP === undefined || podIP === "" || pod.spec?.hostNetwork === true) return [];
  return phase === "Succeeded" || phase === "Failed" ? [] : [{ ip: podIP, pod }];
}

function lookup(field: string, entries: readonly string[]): string[] {
  return entries.length === 0 ? [] : [`ip ${field} vmap { ${entries.join(", ")} }`];
}

function chain(name: string, lines: readonly string[]): string {
  return [`  chain ${name} {`, ...lines.map((line) => `    ${line}`), "  }"].join("\n");
}

function set(items: readonly string[]): string {
  return `{ ${[...items].sort().join(", ")} }`;
}

function keyOf({ metadata }: NetworkPolicy): string {
  return `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;
}
