import type { types } from "@pulumi/kubernetes";
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

/** The pods of one run talk to each other over ports of their choice. */
const trainingNodes: PolicySpec = {
  podSelector: role("training"),
  policyTypes: ["Ingress", "Egress"],
  ingress: [{ from: [{ podSelector: role("training") }] }],
  egress: [{ to: [{ podSelector: role("training") }] }],
};

/**
 * The NetworkPolicies of the namespace by name: nothing gets in or out but what is named here.
 * Traffic from the node itself (probes, NodePort) is outside of what policies govern.
 */
export function networkPolicies(settings: EgressSettings): Record<string, PolicySpec> {
  const { network } = settings;
  const clients = [
    ...network.clientNamespaces.map(namespace),
    ...network.clientCidrs.map((cidr) => ({ ipBlock: { cidr } })),
  ];
  const monitoring = namespace(network.monitoringNamespace);
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
      ingress: [{ from: [monitoring, ...clients], ports: tcp(PORTS.modelServer) }],
    },
    ...(settings.training !== undefined && settings.training.nodes > 1
      ? { "training-nodes": trainingNodes }
      : {}),
    ...egressPolicies(settings),
  };
}
