import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { ModelSettings } from "./models";
import { loadMinutes } from "./models";
import type { Settings } from "./schema";

type Scaled = Pick<Settings, "models" | "frontDoor" | "monitoring">;

/** Bounds and waiting times that do not fit the kind of autoscaler. */
function boundFaults(key: string, model: ModelSettings): Fault[] {
  const { server, replicas, autoscaling } = model;
  const { kind, idleMinutes } = autoscaling;
  const faults: Fault[] = [];
  if (replicas.min === 0 && (kind === "hpa" || server === "llamafactory")) {
    faults.push({
      key: `${key}.replicas.min`,
      got: `0 with ${server === "llamafactory" ? "server llamafactory" : "autoscaling.kind hpa"}`,
      allowed: "at least 1: only KEDA scales to zero, and back by the queue of vLLM",
      fix:
        server === "llamafactory"
          ? setCommand(`${key}.replicas.min`, "1")
          : setCommand(`${key}.autoscaling.kind`, "keda"),
    });
  }
  if (idleMinutes !== undefined && replicas.min > 0) {
    faults.push({
      key: `${key}.autoscaling.idleMinutes`,
      got: `${String(idleMinutes)} with replicas.min ${String(replicas.min)}`,
      allowed: "not set: the last replica is taken away only with replicas.min 0",
      fix: removeCommand(`${key}.autoscaling.idleMinutes`),
    });
  }
  const load = loadMinutes(model);
  if (idleMinutes !== undefined && replicas.min === 0 && idleMinutes < load) {
    faults.push({
      key: `${key}.autoscaling.idleMinutes`,
      got: `${String(idleMinutes)}, while a load may take ${String(load)} minutes`,
      allowed: `at least ${String(load)}, or a pod could be ended before it has served`,
      fix: setCommand(`${key}.autoscaling.idleMinutes`, String(load)),
    });
  }
  return faults;
}

/** What KEDA cannot follow. */
function kedaFaults(key: string, { server, autoscaling }: ModelSettings): Fault[] {
  if (autoscaling.kind === "hpa") return [];
  if (server === "llamafactory") {
    return [
      {
        key: `${key}.autoscaling.kind`,
        got: '"keda" with server llamafactory',
        allowed: "hpa: LLaMA-Factory's server has no metrics that KEDA could ask for",
        fix: setCommand(`${key}.autoscaling.kind`, "hpa"),
      },
    ];
  }
  return autoscaling.metric === "queue"
    ? []
    : [
        {
          key: `${key}.autoscaling.metric`,
          got: `"${autoscaling.metric}" with autoscaling.kind keda`,
          allowed: "queue: KEDA asks Prometheus for waiting requests",
          fix: setCommand(`${key}.autoscaling.metric`, "queue"),
        },
      ];
}

/** What KEDA needs of the rest of the stack, said once however many models it scales. */
function stackFaults({ models, frontDoor, monitoring }: Scaled): Fault[] {
  const index = models.findIndex(({ autoscaling }) => autoscaling.kind === "keda");
  if (index < 0) return [];
  const faults: Fault[] = [];
  if (monitoring.prometheusUrl === undefined) {
    const key = "monitoring.prometheusUrl";
    faults.push({
      key,
      got: `nothing, with models[${String(index)}].autoscaling.kind keda`,
      allowed: "the URL of the Prometheus that scrapes the model servers and the front door",
      fix: setCommand(key, "http://prometheus.monitoring:9090"),
    });
  }
  const sleeper = models.findIndex(({ replicas }) => replicas.min === 0);
  if (sleeper >= 0 && !frontDoor.enabled) {
    faults.push({
      key: "frontDoor.enabled",
      got: `false with models[${String(sleeper)}].replicas.min 0`,
      allowed: "true: nothing else sees a request for a model without pods",
      fix: setCommand("frontDoor.enabled", "true"),
    });
  }
  return faults;
}

/** Faults of how models are scaled. */
export function scalingFaults(settings: Scaled): Fault[] {
  return [
    ...settings.models.flatMap((model, index) => {
      const key = `models[${String(index)}]`;
      return [...boundFaults(key, model), ...kedaFaults(key, model)];
    }),
    ...stackFaults(settings),
  ];
}
