import type {
  V1IPBlock,
  V1Namespace,
  V1NetworkPolicy,
  V1NetworkPolicyIngressRule,
  V1NetworkPolicyPeer,
  V1NetworkPolicyPort,
  V1Pod,
} from "@kubernetes/client-node";

import { selects } from "./labelSelector.ts";

/** What the rules follow from. */
export interface PolicyInput {
  readonly policies: readonly V1NetworkPolicy[];
  readonly pods: readonly V1Pod[];
  readonly namespaces: readonly V1Namespace[];
}

interface Endpoint {
  readonly ip: string;
  readonly pod: V1Pod;
}

interface Scope {
  readonly endpoints: readonly Endpoint[];
  readonly namespaceLabels: ReadonlyMap<string, Record<string, string>>;
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
  policies: readonly V1NetworkPolicy[],
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
        peersOf(sourcesOf(rule), "saddr", namespace ?? "", scope).flatMap((peer) =>
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

/** The client calls the field `_from` in what it lists and, as the API does, `from` in what it watches. */
function sourcesOf(
  rule: V1NetworkPolicyIngressRule & { readonly from?: V1NetworkPolicyPeer[] },
): V1NetworkPolicyPeer[] | undefined {
  return rule._from ?? rule.from;
}

function directionsOf(spec: V1NetworkPolicy["spec"]): Direction[] {
  const types = spec?.policyTypes;
  if (types !== undefined) return types.filter((type) => type === "Ingress" || type === "Egress");
  return spec?.egress === undefined ? ["Ingress"] : ["Ingress", "Egress"];
}

function peersOf(
  peers: readonly V1NetworkPolicyPeer[] | undefined,
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

function blockPeer({ cidr, except = [] }: V1IPBlock, field: string): Peer[] {
  if (cidr.includes(":")) return [];
  const but = except.length === 0 ? "" : `ip ${field} != ${set(except)} `;
  return [{ match: `ip ${field} ${cidr} ${but}`, endpoints: [] }];
}

interface Named {
  readonly match: string;
  readonly pod: V1Pod;
}

/** Joins a peer's match with each port. A port's name means what the receiving pod calls so. */
function portMatches(
  ports: readonly V1NetworkPolicyPort[] | undefined,
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

function namedPorts(pod: V1Pod, name: string, protocol: string): number[] {
  const { containers = [], initContainers = [] } = pod.spec ?? {};
  return [...containers, ...initContainers]
    .flatMap(({ ports }) => ports ?? [])
    .filter((port) => port.name === name && (port.protocol ?? "TCP") === protocol)
    .map(({ containerPort }) => containerPort);
}

/** A pod that has an address of its own now; addresses of ended pods may be somebody else's by then. */
function endpointOf(pod: V1Pod): Endpoint[] {
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

function keyOf({ metadata }: V1NetworkPolicy): string {
  return `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;
}
