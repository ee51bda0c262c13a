import type { TrainingFiles } from "../config/load";
import type { TrainingSettings } from "../config/training";
import { isDownloadedData } from "../config/training";
import { fingerprint } from "./fingerprint";
import { dataIdentity } from "./source";
import { runFolder } from "./trainingRun";

/** Whether the trainer connects to W&B. */
export function usesWandb({ wandb, wandbMode }: TrainingSettings["tracking"]): boolean {
  return wandb && wandbMode === "online";
}

/** The experiment's name as one of a project in W&B, which allows less. */
const wandbProject = ({ experiment }: Pick<TrainingSettings, "experiment">): string =>
  experiment.replace(/[/\\#?%:]/g, "-").slice(0, 128);

/** Environment that says where metrics go and what the run is made of. */
export function trackingEnv({
  files,
  runId: id,
  trackingUri,
}: {
  readonly files: Omit<TrainingFiles, "data" | "commit"> & Partial<TrainingFiles>;
  readonly runId: string;
  readonly trackingUri: string;
}): Record<string, string> {
  const { settings, config } = files;
  const data = isDownloadedData(settings.data) ? dataIdentity(settings.data) : files.data;
  const { mlflow, systemMetrics, wandb, wandbMode, tensorboard } = settings.tracking;
  return {
    LLMOPS_TRAINING_FILE: settings.configFile,
    ...(data === undefined ? {} : { LLMOPS_DATA_FINGERPRINT: fingerprint(data) }),
    ...(mlflow
      ? { MLFLOW_TRACKING_URI: trackingUri, MLFLOW_EXPERIMENT_NAME: settings.experiment }
      : {}),
    ...(mlflow && systemMetrics ? { LLMOPS_SYSTEM_METRICS: "true" } : {}),
    ...(wandb ? { WANDB_PROJECT: wandbProject(settings) } : {}),
    ...(wandb && wandbMode === "offline"
      ? { WANDB_MODE: "offline", WANDB_DIR: runFolder(config, id) }
      : {}),
    ...(tensorboard ? { TENSORBOARD_LOGGING_DIR: `${runFolder(config, id)}/tensorboard` } : {}),
  };
}
