import { LineCounter, parseDocument } from "yaml";
import keys from "../images/training/llamafactory-keys.json";
import type { Fault } from "./faults";
import { nearest } from "./nearest";

/** A LLaMA-Factory training file, parsed. */
export type TrainingConfig = Readonly<Record<string, unknown>>;

/** Folder of the container in which `model-output-pvc` is mounted. */
export const OUTPUT_FOLDER = "/app/output";

/** Keys that the platform sets itself, and the setting to use instead. */
const OWNED: Readonly<Record<string, string>> = {
  model_name_or_path: "training.baseModel",
  dataset_dir: "training.data",
  media_dir: "training.data",
  resume_from_checkpoint: "nothing: a retry resumes from the last checkpoint by itself",
  overwrite_output_dir: "nothing: every run has a folder of its own",
  export_dir: "training.merge",
  run_name: "nothing: the run id names the run",
};

const KNOWN = new Set<string>(Object.keys(keys.keys));

function keyFaults(file: string, config: TrainingConfig, line: (key: string) => number): Fault[] {
  return Object.entries(config).flatMap(([name, value]): Fault[] => {
    const key = `training.configFile (${file}:${String(line(name))}) ${name}`;
    const owner = OWNED[name];
    if (owner !== undefined) {
      return [
        {
          key,
          got: JSON.stringify(value),
          allowed: `not set: the platform sets it; use ${owner}`,
          fix: `remove line ${String(line(name))} of ${file}`,
        },
      ];
    }
    if (KNOWN.has(name)) return [];
    const meant = nearest(name, KNOWN);
    return [
      {
        key,
        got: JSON.stringify(value),
        allowed: `a training key of LLaMA-Factory ${keys.version}`,
        fix:
          meant === undefined
            ? `remove line ${String(line(name))} of ${file}`
            : `write "${meant}" in line ${String(line(name))} of ${file}`,
      },
    ];
  });
}

function valueFaults(file: string, config: TrainingConfig): Fault[] {
  const faults: Fault[] = [];
  const fault = (key: string, got: unknown, allowed: string, fix: string): void => {
    faults.push({
      key: `training.configFile (${file}) ${key}`,
      got: got === undefined ? "nothing" : JSON.stringify(got),
      allowed,
      fix: `write "${fix}" in ${file}`,
    });
  };
  const { output_dir: output, report_to: report } = config;
  if (output !== undefined) {
    const inside =
      typeof output === "string" &&
      (output === OUTPUT_FOLDER || output.startsWith(`${OUTPUT_FOLDER}/`)) &&
      !output.split("/").includes("..");
    if (!inside) {
      const allowed = `a folder in ${OUTPUT_FOLDER}, where model-output-pvc is mounted`;
      fault("output_dir", output, allowed, `output_dir: ${OUTPUT_FOLDER}`);
    }
  }
  if (report !== undefined && report !== "none") {
    const allowed = "not set, or none: training.tracking chooses MLflow, W&B and TensorBoard";
    fault("report_to", report, allowed, "report_to: none");
  }
  if (config["do_train"] !== true) fault("do_train", config["do_train"], "true", "do_train: true");
  for (const required of ["stage", "dataset"]) {
    if (config[required] === undefined) {
      fault(
        required,
        undefined,
        "a value",
        `${required}: ${required === "stage" ? "sft" : "<name>"}`,
      );
    }
  }
  return faults;
}

/**
 * Reads a LLaMA-Factory training file and says all that is wrong with it.
 * The known keys come from the dataclasses of the LLaMA-Factory in the training image.
 */
export function parseTrainingFile(
  file: string,
  text: string,
): { readonly config: TrainingConfig; readonly faults: readonly Fault[] } {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter });
  const broken = document.errors[0];
  if (broken !== undefined) {
    const line = counter.linePos(broken.pos[0]).line;
    return {
      config: {},
      faults: [
        {
          key: "training.configFile",
          got: `${file}: ${broken.message.split("\n")[0] ?? broken.code}`,
          allowed: "a YAML file",
          fix: `mend line ${String(line)} of ${file}`,
        },
      ],
    };
  }
  const config: unknown = document.toJS();
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    return {
      config: {},
      faults: [
        {
          key: "training.configFile",
          got: `${file}: ${config === null ? "an empty file" : "no map"}`,
          allowed: "a map of LLaMA-Factory training keys",
          fix: `write "key: value" lines in ${file}`,
        },
      ],
    };
  }
  const lines = text.split("\n");
  const line = (key: string): number => lines.findIndex((row) => row.startsWith(`${key}:`)) + 1;
  const map = config as TrainingConfig;
  return { config: map, faults: [...keyFaults(file, map, line), ...valueFaults(file, map)] };
}

/** Whether a run ends with an adapter that must be merged before vLLM can serve it. */
export function trainsAdapter(config: TrainingConfig): boolean {
  const type = config["finetuning_type"];
  return type !== "full" && type !== "freeze";
}
