import type { types } from "@pulumi/kubernetes";
import type { Settings } from "../config/schema";
import type { EgressSettings } from "./egress";
import { egressPolicies, everyPod, tcp } from "./egress";
import { mlflowClients, mlflowPolicies } from "./mlflowNetwork";
import { PORTS } from "./names";
import { tellsMlflow } from "./servedTags";
import { mlflowTracers, tracingPolicies } from "./tracingNetwork";

type Peer = types.input.networking.v1.NetworkPolicyPeer;
type Selector = types.input.meta.v1.LabelSelector;
type PolicySpec = types.input.networking.v1.NetworkPolicySpec;

const namespace = (name: string): Peer => ({
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } },
});

/** Settings that say who may talk to whom. */
export type NetworkSettings = EgressSettings & Pick<Settings, "frontDoor" | "board" | "tracing">;

/** The pods of the models that tell MLflow of the runs that they serve; undefined where there are none. */
function tellers(settings: NetworkSettings): Selector | undefined {
  const values = settings.models
    .filter((model) => tellsMlflow(model, settings))
    .map(({ name }) => name);
  const key = "app.kubernetes.io/instance";
  return values.length === 0
    ? undefined
    : { ...everyPod("inference"), matchExpressions: [{ key, operator: "In", values }] };
}

/** Clients reach the front door, monitoring its metrics, and it reaches the model servers. */
function frontDoorPolicy(clients: Peer[], monitoring: Peer): PolicySpec {
  return {
    podSelector: everyPod("front-door"),
    policyTypes: ["Ingress", "Egress"],
    ingress: [
      ...(clients.length > 0 ? [{ from: clients, ports: tcp(PORTS.frontDoor) }] : []),
      { from: [monitoring], ports: tcp(PORTS.frontDoorMetrics) },
    ],
    egress: [{ to: [{ podSelector: everyPod("inference") }], ports: tcp(PORTS.modelServer) }],
  };
}

/** Prometheus may scrape the dcgm-exporter of the training pods. */
function gpuMetricsPolicy({ training, network }: NetworkSettings): Record<string, PolicySpec> {
  if (training?.dcgmExporter !== true) return {};
  const from = [namespace(network.monitoringNamespace)];
  return {
    training: {
      podSelector: everyPod("training"),
      policyTypes: ["Ingress"],
      ingress: [{ from, ports: tcp(PORTS.dcgmExporter) }],
    },
  };
}

/** LLaMA Board can do more than the models: who may call those may not reach it by that alone. */
function boardPolicy({ board }: NetworkSettings): Record<string, PolicySpec> {
  if (!board.enabled) return {};
  const from = [
    ...board.clients.namespaces.map(namespace),
    ...board.clients.cidrs.map((cidr) => ({ ipBlock: { cidr } })),
  ];
  // An empty list of peers would let in everybody.
  const ingress = from.length === 0 ? [] : [{ from, ports: tcp(PORTS.board) }];
  return { board: { podSelector: everyPod("board"), policyTypes: ["Ingress"], ingress } };
}

const TO_MLFLOW: types.input.networking.v1.NetworkPolicyEgressRule[] = [
  { to: [{ podSelector: everyPod("mlflow") }], ports: tcp(PORTS.mlflow) },
];

/** The pods of one run talk to each other over ports of their choice. */
const trainingNodes: PolicySpec = {
  podSelector: everyPod("training"),
  policyTypes: ["Ingress", "Egress"],
  ingress: [{ from: [{ podSelector: everyPod("training") }] }],
  egress: [{ to: [{ podSelector: everyPod("training") }] }],
};

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
  const serving = tellers(settings);
  const door: Peer[] = frontDoor.enabled ? [{ podSelector: everyPod("front-door") }] : [];
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
      podSelector: everyPod("training"),
      policyTypes: ["Egress"],
      egress: TO_MLFLOW,
    },
    ...(serving === undefined
      ? {}
      : {
          "inference-to-mlflow": {
            podSelector: serving,
            policyTypes: ["Egress"],
            egress: TO_MLFLOW,
          },
        }),
    mlflow: {
      podSelector: everyPod("mlflow"),
      policyTypes: ["Ingress"],
      ingress: [
        {
          from: [
            { podSelector: everyPod("training") },
            ...(serving === undefined ? [] : [{ podSelector: serving }]),
            ...mlflowTracers(settings),
            ...mlflowClients(settings),
            monitoring,
            ...clients,
          ],
          ports: tcp(PORTS.mlflow),
        },
      ],
    },
    inference: {
      podSelector: everyPod("inference"),
      policyTypes: ["Ingress"],
      ingress: [{ from: [monitoring, ...door, ...clients], ports: tcp(PORTS.modelServer) }],
    },
    ...(frontDoor.enabled ? { "front-door": frontDoorPolicy(clients, monitoring) } : {}),
    ...gpuMetricsPolicy(settings),
    ...boardPolicy(settings),
    ...(settings.training !== undefined && settings.training.nodes > 1
      ? { "training-nodes": trainingNodes }
      : {}),
    ...egressPolicies(settings),
    ...mlflowPolicies(settings),
    ...tracingPolicies(settings),
  };
}
