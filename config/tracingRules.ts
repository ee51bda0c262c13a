import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { Settings } from "./schema";
import type { TracingSettings } from "./tracing";
import { serviceNamespace } from "./tracing";

/** Only the address range, or the namespace, of the endpoint is let out of the pods. */
function wayOut(tracing: TracingSettings): Fault[] {
  if (tracing.kind !== "otlp") return [];
  const key = "tracing.cidr";
  const { hostname } = new URL(tracing.endpoint);
  const namespace = serviceNamespace(tracing.endpoint);
  if (namespace === undefined && tracing.cidr === undefined) {
    return [
      {
        key,
        got: `nothing, with the endpoint "${hostname}"`,
        allowed: "its address range, since it is no <name>.<namespace>.svc of the cluster",
        fix: setCommand(key, "<address>/32"),
      },
    ];
  }
  if (namespace === undefined || tracing.cidr === undefined) return [];
  return [
    {
      key,
      got: `"${tracing.cidr}", with the endpoint "${hostname}"`,
      allowed: `not set: the pods of namespace ${namespace} are let through`,
      fix: removeCommand(key),
    },
  ];
}

/** Faults of tracing that only several settings together show. */
export function tracingFaults({
  tracing,
  mlflow,
  models,
  frontDoor,
}: Pick<Settings, "tracing" | "mlflow" | "models" | "frontDoor">): Fault[] {
  if (tracing === undefined) return [];
  const faults = wayOut(tracing);
  if (tracing.kind === "mlflow" && mlflow.auth.enabled) {
    faults.push({
      key: "tracing.kind",
      got: '"mlflow" with mlflow.auth.enabled',
      allowed:
        "otlp: MLflow's only login is the administrator's, which no server that takes requests may hold",
      fix: setCommand("tracing.kind", "otlp"),
    });
  }
  if (!frontDoor.enabled && models.every(({ server }) => server !== "vllm")) {
    faults.push({
      key: "tracing",
      got: "settings, with neither a front door nor a model of server vllm",
      allowed: "not set: LLaMA-Factory's server sends no spans",
      fix: removeCommand("tracing"),
    });
  }
  return faults;
}
