import type { types } from "@pulumi/kubernetes";
import { serviceNamespace } from "../config/tracing";
import type { Settings } from "../config/schema";
import { everyPod, tcp } from "./egress";
import { PORTS } from "./names";

type PolicySpec = types.input.networking.v1.NetworkPolicySpec;
type EgressRule = types.input.networking.v1.NetworkPolicyEgressRule;
type Selector = types.input.meta.v1.LabelSelector;
type TracingNetwork = Pick<Settings, "tracing" | "models" | "frontDoor">;

/** The pods that send spans, by the name of their policy. */
function senders({ models, frontDoor }: TracingNetwork): Record<string, Selector> {
  const values = models.filter(({ server }) => server === "vllm").map(({ name }) => name);
  const key = "app.kubernetes.io/instance";
  return {
    ...(values.length === 0
      ? {}
      : {
          "inference-traces": {
            ...everyPod("inference"),
            matchExpressions: [{ key, operator: "In", values }],
          },
        }),
    ...(frontDoor.enabled ? { "front-door-traces": everyPod("front-door") } : {}),
  };
}

/** The one place that spans may go to. Policies see the port of the pods: a Service must have the same. */
function target(tracing: NonNullable<Settings["tracing"]>): EgressRule {
  if (tracing.kind === "mlflow") {
    return { to: [{ podSelector: everyPod("mlflow") }], ports: tcp(PORTS.mlflow) };
  }
  const { protocol, port } = new URL(tracing.endpoint);
  const ports = tcp(port === "" ? (protocol === "https:" ? 443 : 80) : Number(port));
  if (tracing.cidr !== undefined) return { to: [{ ipBlock: { cidr: tracing.cidr } }], ports };
  const name = serviceNamespace(tracing.endpoint) ?? "";
  const matchLabels = { "kubernetes.io/metadata.name": name };
  return { to: [{ namespaceSelector: { matchLabels } }], ports };
}

/** The pods that send spans to MLflow. */
export function mlflowTracers(
  settings: TracingNetwork,
): types.input.networking.v1.NetworkPolicyPeer[] {
  if (settings.tracing?.kind !== "mlflow") return [];
  return Object.values(senders(settings)).map((podSelector) => ({ podSelector }));
}

/** NetworkPolicies by name that let the pods that trace requests reach where the spans go, and nothing else. */
export function tracingPolicies(settings: TracingNetwork): Record<string, PolicySpec> {
  const { tracing } = settings;
  if (tracing === undefined) return {};
  const egress = [target(tracing)];
  return Object.fromEntries(
    Object.entries(senders(settings)).map(([name, podSelector]) => [
      name,
      { podSelector, policyTypes: ["Egress"], egress },
    ]),
  );
}
