import type { types } from "@pulumi/kubernetes";
import type { Settings } from "../config/schema";
import type { EgressSettings } from "./egress";
import { egressPolicies } from "./egress";
import type { Role } from "./names";
import { PORTS } from "./names";

type Peer = types.input.networking.v1.NetworkPolicyPeer;
type PolicySpec = types.input.networking.v1.NetworkPolicySpec;

const role = (name: Role): types.input.meta.v1.LabelSelector => ({
  matchLabels: { "app.kubernetes.io/component": name },
});
const namespace = (name: string): Peer => ({
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } },
});
const tcp = (port: number): types.input.networking.v1.NetworkPolicyPort[] => [
  { protocol: "TCP", port },
];

/** Settings that say who may talk to whom. */
export type NetworkSettings = EgressSettings & Pick<Settings, "frontDoor">;

/** Clients reach the front door, monitoring its metrics, and it reaches the model servers. */
function frontDoorPolicy(clients: Peer[], monitoring: Peer): PolicySpec {
  return {
    podSelector: role("front-door"),
    policyTypes: ["Ingress", "Egress"],
    ingress: [
      ...(clients.length > 0 ? [{ from: clients, ports: tcp(PORTS.frontDoor) }] : []),
      { from: [monitoring], ports: tcp(PORTS.frontDoorMetrics) },
    ],
    egress: [{ to: [{ podSelector: role("inference") }], ports: tcp(PORTS.modelServer) }],
  };
}

/**
 * The NetworkPolicies of the namespace by name: nothing gets in or out but what is named here.
 * Traffic from the node itself (probes, NodePort) is outside of what policies govern.
 */
export function networkPolicies(settings: NetworkSettings): Record<string, PolicySpec> {
  const { network, frontDoor } = settings;
  const clients = [
    ...network.clientNamespaces.map(namespace),
    ...network.clientCidrs.map((cidr) => ({ ipBlock: { cidr } })),
  ];
  const monitoring = namespace(network.monitoringNamespace);
  const door: Peer[] = frontDoor.enabled ? [{ podSelector: role("front-door") }] : [];
  return {
    "default-deny": { podSelector: {}, policyTypes: ["Ingress", "Egress"] },
    "allow-dns": {
      podSelector: {},
      policyTypes: ["Egress"],
      egress: [
        {
          to: [
            {
              ...namespace("kube-system"),
              podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
            },
          ],
          ports: [
            { protocol: "UDP", port: 53 },
            { protocol: "TCP", port: 53 },
          ],
        },
      ],
    },
    "training-to-mlflow": {
      podSelector: role("training"),
      policyTypes: ["Egress"],
      egress: [{ to: [{ podSelector: role("mlflow") }], ports: tcp(PORTS.mlflow) }],
    },
    mlflow: {
      podSelector: role("mlflow"),
      policyTypes: ["Ingress"],
      ingress: [
        {
          from: [{ podSelector: role("training") }, monitoring, ...clients],
          ports: tcp(PORTS.mlflow),
        },
      ],
    },
    inference: {
      podSelector: role("inference"),
      policyTypes: ["Ingress"],
      ingress: [{ from: [monitoring, ...door, ...clients], ports: tcp(PORTS.modelServer) }],
    },
    ...(frontDoor.enabled ? { "front-door": frontDoorPolicy(clients, monitoring) } : {}),
    ...egressPolicies(settings),
  };
}
