import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { datasetEntry, rowProblem } from "./datasetRows";
import type { Fault } from "./faults";
import { setCommand } from "./faults";
import type { TrainingConfig } from "./trainingFile";

/** Largest data set that fits a ConfigMap, in bytes. */
const MAX_DATA_BYTES = 900 * 1024;

/** Setting that names the folder. */
const KEY = "training.data.path";

const INFO = "dataset_info.json";

const infoSchema = z.record(z.string(), datasetEntry);

/** A data set by file name, with what is wrong with it. */
export interface Dataset {
  readonly files: Readonly<Record<string, string>>;
  readonly faults: readonly Fault[];
}

/** A fault for a path of the project that cannot be read. */
export function unreadable(key: string, path: string, error: unknown): Fault {
  return {
    key,
    got: `"${path}": ${error instanceof Error ? error.message : String(error)}`,
    allowed: "a file of the project that can be read",
    fix: setCommand(key, "<path>"),
  };
}

function parseInfo(
  folder: string,
  text: string,
  faults: Fault[],
): z.infer<typeof infoSchema> | undefined {
  let problem: string;
  try {
    const parsed = infoSchema.safeParse(JSON.parse(text));
    if (parsed.success) return parsed.data;
    problem = z.prettifyError(parsed.error);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  faults.push({
    key: KEY,
    got: `${folder}/${INFO}: ${problem}`,
    allowed: "a map of data set names to their files, as LLaMA-Factory reads it",
    fix: `mend ${folder}/${INFO}`,
  });
  return undefined;
}

/** Names of the data sets that a training file uses. */
function usedNames(config: TrainingConfig): string[] {
  return [config["dataset"], config["eval_dataset"]].flatMap((names) =>
    typeof names === "string" ? names.split(",").map((name) => name.trim()) : [],
  );
}

/** Faults of data sets that a training file uses and the settings of downloaded data do not name. */
export function infoFaults(
  info: Readonly<Record<string, unknown>> | undefined,
  config: TrainingConfig,
): Fault[] {
  if (info === undefined) return [];
  return usedNames(config)
    .filter((name) => info[name] === undefined)
    .map((name) => ({
      key: "training.data.info",
      got: `no "${name}", which dataset or eval_dataset of training.configFile names`,
      allowed: `every data set that is used; it has ${Object.keys(info).join(", ") || "none"}`,
      fix: setCommand(`training.data.info.${name}.file_name`, "<file of the source>"),
    }));
}

function read(root: string, path: string, faults: Fault[]): string | undefined {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch (error) {
    faults.push(unreadable(KEY, path, error));
    return undefined;
  }
}

/**
 * Reads the data sets that `config` names from a folder of the project: dataset_info.json and the
 * files it points to.
 */
export function readDataset(root: string, folder: string, config: TrainingConfig): Dataset {
  const faults: Fault[] = [];
  const text = read(root, `${folder}/${INFO}`, faults);
  if (text === undefined) return { files: {}, faults };
  const sets = parseInfo(folder, text, faults);
  if (sets === undefined) return { files: {}, faults };
  const files: Record<string, string> = { [INFO]: text };
  for (const name of usedNames(config)) {
    const entry = sets[name];
    const file = entry?.file_name;
    if (entry === undefined || file === undefined) {
      faults.push({
        key: "training.configFile dataset",
        got: `"${name}"`,
        allowed: `a data set with a file_name in ${folder}/${INFO}: ${Object.keys(sets).join(", ")}`,
        fix: `add "${name}" to ${folder}/${INFO}`,
      });
      continue;
    }
    const data = read(root, `${folder}/${file}`, faults);
    if (data === undefined) continue;
    files[file] = data;
    const problem = rowProblem(file, entry, data);
    if (problem === undefined) continue;
    const { got, allowed } = problem;
    const path = `${folder}/${file}`;
    faults.push({
      key: KEY,
      got: `${path}: ${got}`,
      allowed,
      fix: `mend ${path} or ${folder}/${INFO}`,
    });
  }
  const bytes = Object.values(files).reduce((sum, data) => sum + Buffer.byteLength(data), 0);
  if (bytes > MAX_DATA_BYTES) {
    faults.push({
      key: KEY,
      got: `"${folder}": ${String(bytes)} bytes`,
      allowed: `at most ${String(MAX_DATA_BYTES)} bytes; larger data belongs on training-data-pvc`,
      fix: setCommand("training.data.kind", "volume"),
    });
  }
  return { files, faults };
}
