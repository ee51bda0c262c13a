import { stringify } from "yaml";
import type { TrainingSettings } from "../config/training";
import { isDownloadedData } from "../config/training";
import type { TrainingConfig } from "../config/trainingFile";
import { OUTPUT_FOLDER, trainsAdapter } from "../config/trainingFile";
import { fingerprint } from "./fingerprint";
import { CONFIG_FOLDER } from "./pod";
import { DATA_FOLDER, dataIdentity, dataPath, modelPath, sourceIdentity } from "./source";

/** Name of DeepSpeed's configuration beside the training file. */
export const DEEPSPEED_FILE = "deepspeed.json";

/** What makes a training run the run it is. */
export interface RunIdentity {
  readonly config: TrainingConfig;
  readonly data: Readonly<Record<string, string>> | undefined;
  readonly settings: Pick<
    TrainingSettings,
    "baseModel" | "data" | "run" | "merge" | "nodes" | "deepspeed" | "resources"
  >;
  /** Reference of the training image, by digest. */
  readonly image: string;
}

/**
 * The run id: 10 hex digits of a hash over everything that the result depends on.
 * The order of keys, comments and the registry's host do not count.
 */
export function runId({ config, data, settings, image }: RunIdentity): string {
  const { baseModel, run, merge } = settings;
  const dataSource = isDownloadedData(settings.data) ? dataIdentity(settings.data) : settings.data;
  const digest = image.slice(image.indexOf("@") + 1);
  const base = sourceIdentity(baseModel);
  const shape = processShape(settings);
  return fingerprint({ config, data, dataSource, baseModel: base, run, merge, digest, ...shape });
}

/** How many processes share a batch, and what they share it with; nothing for one process alone. */
function processShape({
  nodes,
  deepspeed,
  resources,
}: Pick<TrainingSettings, "nodes" | "deepspeed" | "resources">): object {
  const gpus = resources.gpu ?? 1;
  return {
    ...(nodes > 1 ? { nodes } : {}),
    ...(gpus > 1 ? { gpus } : {}),
    ...(deepspeed === "none" ? {} : { deepspeed }),
  };
}

/** Folder of all runs on `model-output-pvc`: empty, or with a slash before it. */
export function runsFolder(config: TrainingConfig): string {
  const folder = config["output_dir"];
  return typeof folder === "string" ? folder.slice(OUTPUT_FOLDER.length).replace(/\/+$/, "") : "";
}

/** Folder of a run in the training container. */
export function runFolder(config: TrainingConfig, id: string): string {
  return `${OUTPUT_FOLDER}${runsFolder(config)}/${id}`;
}

/** Folder of the training container with dataset_info.json. */
function datasetFolder(data: TrainingSettings["data"]): string {
  if (isDownloadedData(data)) return dataPath(data);
  return data.kind === "volume" && data.path !== undefined
    ? `${DATA_FOLDER}/${data.path}`
    : DATA_FOLDER;
}

/** The complete LLaMA-Factory file: what the user wrote, and what the platform decides. */
export function trainingYaml(
  config: TrainingConfig,
  settings: Pick<
    TrainingSettings,
    "baseModel" | "data" | "tracking" | "gate" | "nodes" | "deepspeed"
  >,
  id: string,
): string {
  const { baseModel, data, tracking, gate, nodes, deepspeed } = settings;
  const reporters = (["wandb", "tensorboard"] as const).filter((name) => tracking[name]);
  return stringify({
    // The entry code says how far the training is; a bar would fill the pod's log.
    disable_tqdm: true,
    // One pod can save when it is told to end; several would each do so at another step.
    ...(nodes === 1 ? { enable_jit_checkpoint: true } : {}),
    ...config,
    model_name_or_path: modelPath(baseModel),
    dataset_dir: datasetFolder(data),
    output_dir: runFolder(config, id),
    overwrite_output_dir: false,
    // MLflow is fed from outside the trainer, so that a tracker that is away cannot fail a run.
    report_to: reporters.length > 1 ? reporters : (reporters[0] ?? "none"),
    run_name: id,
    ...(deepspeed === "none" ? {} : { deepspeed: `${CONFIG_FOLDER}/${DEEPSPEED_FILE}` }),
    ...(gate?.some(({ metric }) => metric === "eval_loss") ? { do_eval: true } : {}),
  });
}

/** Folder of the model that a run ends with, on `model-output-pvc`. */
export function trainedModelFolder(config: TrainingConfig, merge: boolean, id: string): string {
  const folder = runFolder(config, id).slice(OUTPUT_FOLDER.length + 1);
  return merge && trainsAdapter(config) ? `${folder}/merged` : folder;
}
