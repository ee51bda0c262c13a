import { stringify } from "yaml";
import type { TrainingSettings } from "../config/training";
import type { TrainingConfig } from "../config/trainingFile";
import { OUTPUT_FOLDER, trainsAdapter } from "../config/trainingFile";
import { fingerprint } from "./fingerprint";
import { modelPath, sourceIdentity } from "./source";

/** Folder with the data set and its dataset_info.json. */
export const DATA_FOLDER = "/app/data";

/** What makes a training run the run it is. */
export interface RunIdentity {
  readonly config: TrainingConfig;
  readonly data: Readonly<Record<string, string>> | undefined;
  readonly settings: Pick<TrainingSettings, "baseModel" | "data" | "run" | "merge">;
  /** Reference of the training image, by digest. */
  readonly image: string;
}

/**
 * The run id: 10 hex digits of a hash over everything that the result depends on.
 * The order of keys, comments and the registry's host do not count.
 */
export function runId({ config, data, settings, image }: RunIdentity): string {
  const { baseModel, data: dataSource, run, merge } = settings;
  const digest = image.slice(image.indexOf("@") + 1);
  const base = sourceIdentity(baseModel);
  return fingerprint({ config, data, dataSource, baseModel: base, run, merge, digest });
}

/** Folder of all runs on `model-output-pvc`: empty, or with a slash before it. */
export function runsFolder(config: TrainingConfig): string {
  const folder = config["output_dir"];
  return typeof folder === "string" ? folder.slice(OUTPUT_FOLDER.length).replace(/\/+$/, "") : "";
}

/** Folder of a run in the training container. */
function runFolder(config: TrainingConfig, id: string): string {
  return `${OUTPUT_FOLDER}${runsFolder(config)}/${id}`;
}

/** The complete LLaMA-Factory file: what the user wrote, and what the platform decides. */
export function trainingYaml(
  config: TrainingConfig,
  settings: Pick<TrainingSettings, "baseModel" | "data" | "tracking" | "gate">,
  id: string,
): string {
  const { baseModel, data, tracking, gate } = settings;
  const folder = data.kind === "volume" && data.path !== undefined ? `/${data.path}` : "";
  return stringify({
    ...config,
    model_name_or_path: modelPath(baseModel),
    dataset_dir: `${DATA_FOLDER}${folder}`,
    output_dir: runFolder(config, id),
    overwrite_output_dir: false,
    // MLflow is fed from outside the trainer, so that a tracker that is away cannot fail a run.
    report_to: tracking.wandb ? "wandb" : "none",
    run_name: id,
    ...(gate?.some(({ metric }) => metric === "eval_loss") ? { do_eval: true } : {}),
  });
}

/** Folder of the model that a run ends with, on `model-output-pvc`. */
export function trainedModelFolder(config: TrainingConfig, merge: boolean, id: string): string {
  const folder = runFolder(config, id).slice(OUTPUT_FOLDER.length + 1);
  return merge && trainsAdapter(config) ? `${folder}/merged` : folder;
}
