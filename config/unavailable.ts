import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { Settings } from "./schema";

interface Rule {
  readonly what: string;
  /** Instead of removing the setting, set it to this. */
  readonly instead?: string;
  /** Keys at which a stack asks for it, with the value given. */
  readonly used: (settings: Settings) => readonly (readonly [key: string, value: unknown])[];
}

const when = (
  condition: boolean,
  key: string,
  value: unknown,
): readonly (readonly [string, unknown])[] => (condition ? [[key, value]] : []);

/** Settings whose behaviour this version does not have. They are refused, never ignored. */
const RULES: readonly Rule[] = [
  {
    what: "the llamafactory server",
    used: ({ models }) =>
      models.flatMap(({ server }, index) =>
        when(server === "llamafactory", `models[${String(index)}].server`, server),
      ),
    instead: "vllm",
  },
  {
    what: "training on several nodes",
    used: ({ training }) =>
      when(training !== undefined && training.nodes > 1, "training.nodes", training?.nodes),
    instead: "1",
  },
  {
    what: "the metric gate",
    used: ({ training }) => when(training?.gate !== undefined, "training.gate", training?.gate),
  },
  {
    what: "the dcgm-exporter sidecar",
    used: ({ training }) => when(training?.dcgmExporter === true, "training.dcgmExporter", true),
    instead: "false",
  },
  {
    what: "MLflow on a database server",
    used: ({ mlflow }) =>
      when(mlflow.backend.kind !== "sqlite", "mlflow.backend.kind", mlflow.backend.kind),
    instead: "sqlite",
  },
  {
    what: "MLflow artifacts in a bucket",
    used: ({ mlflow }) =>
      when(mlflow.artifacts.kind !== "volume", "mlflow.artifacts.kind", mlflow.artifacts.kind),
    instead: "volume",
  },
  {
    what: "LLaMA Board",
    used: ({ board }) => when(board.enabled, "board.enabled", true),
    instead: "false",
  },
  {
    what: "dashboards and alerts",
    used: ({ monitoring }) => [
      ...when(monitoring.enabled, "monitoring.enabled", true),
      ...when(monitoring.grafanaUrl !== undefined, "monitoring.grafanaUrl", monitoring.grafanaUrl),
    ],
    instead: "false",
  },
];

/** Faults for every setting that asks for something this version cannot do. */
export function unavailableFaults(settings: Settings): Fault[] {
  return RULES.flatMap(({ what, instead, used }) =>
    used(settings).map(([key, value]) => ({
      key,
      got: JSON.stringify(value),
      allowed: `${instead ?? "not set"}: this version does not have ${what} yet`,
      fix: instead === undefined ? removeCommand(key) : setCommand(key, instead),
    })),
  );
}
