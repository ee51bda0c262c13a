import { LineCounter, parseDocument } from "yaml";
import keys from "../images/training/llamafactory-keys.json";
import type { Fault } from "./faults";
import { setCommand } from "./faults";
import type { Settings } from "./schema";

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

function nearest(name: string): string | undefined {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, index) => index);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
        next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
      }
      row = next;
    }
    return row[b.length] ?? Number.MAX_SAFE_INTEGER;
  };
  const ranked = [...KNOWN].map((known) => ({ known, far: distance(name, known) }));
  ranked.sort((a, b) => a.far - b.far);
  const best = ranked[0];
  return best !== undefined && best.far <= 3 ? best.known : undefined;
}

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
    const meant = nearest(name);
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
    const allowed = "not set, or none: training.tracking chooses MLflow and W&B";
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

/** A fault if a model serves the training run, but the run ends with a bare adapter. */
export function servedRunFaults(settings: Settings, config: TrainingConfig): Fault[] {
  const served = settings.models.some(({ source }) => source.kind === "training");
  const { training } = settings;
  if (!served || training === undefined || training.merge || !trainsAdapter(config)) return [];
  return [
    {
      key: "training.merge",
      got: "false, with a model that serves the training run",
      allowed: "true: vLLM serves the merged model",
      fix: setCommand("training.merge", "true"),
    },
  ];
}
