import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { ROOT } from "../../support/program";
import { MODELS_VOLUME } from "./node";

/** Steps of a short run. */
export const STEPS = 12;

const BATCH = 4;

const FOLDER = join(".local", "short-runs");

/**
 * Writes the example's training file with few steps, on what has nothing to do with the lesson, with four of the rows
 * held out. Each of `processes` takes its part of one and the same batch; the other 20 rows are five whole ones, so no
 * process gets a row twice.
 *
 * @returns the file's path in the project.
 */
export function shortTrainingFile(processes: number): string {
  const example = parse(readFileSync(join(ROOT, "examples/lumen7/lora.yaml"), "utf8")) as object;
  const short = {
    dataset: "general",
    val_size: 4,
    per_device_eval_batch_size: 1,
    per_device_train_batch_size: BATCH / processes,
    max_steps: STEPS,
    save_steps: 3,
    plot_loss: false,
  };
  const file = join(FOLDER, `lora-${String(processes)}.yaml`);
  mkdirSync(join(ROOT, FOLDER), { recursive: true });
  writeFileSync(join(ROOT, file), stringify({ ...example, ...short }));
  return file;
}

/** Removes what {@link shortTrainingFile} has written. */
export function removeShortTrainingFiles(): void {
  rmSync(join(ROOT, FOLDER), { recursive: true, force: true });
}

/** Folder of this machine with all files of a run. */
export const runFolder = (id: string): string => join(MODELS_VOLUME, id);

/** The last step that a run has a whole checkpoint of, 0 where it has none. The trainer writes its own state last. */
export function lastCheckpoint(id: string): number {
  if (!existsSync(runFolder(id))) return 0;
  const whole = readdirSync(runFolder(id)).filter((name) =>
    existsSync(join(runFolder(id), name, "trainer_state.json")),
  );
  return Math.max(0, ...whole.map((name) => Number(/^checkpoint-(\d+)$/.exec(name)?.[1] ?? 0)));
}

const readJson = (id: string, file: string): unknown =>
  JSON.parse(readFileSync(join(runFolder(id), file), "utf8"));

/** The losses that the trainer has noted, step by step, and the loss of the final weights on held-out rows. */
export interface Losses {
  readonly steps: readonly { readonly step: number; readonly loss: number }[];
  readonly heldOut: number;
}

/** Reads the losses of a run that has come to its end. */
export function readLosses(id: string): Losses {
  const { log_history } = readJson(id, "trainer_state.json") as {
    log_history: { step: number; loss?: number }[];
  };
  const { eval_loss } = readJson(id, "all_results.json") as { eval_loss: number };
  const steps = log_history.flatMap(({ step, loss }) =>
    loss === undefined ? [] : [{ step, loss }],
  );
  return { steps, heldOut: eval_loss };
}

/** The largest difference between the losses of two runs at the same step. */
export function largestDifference(one: Losses, other: Losses): number {
  const differences = one.steps.map(({ step, loss }) => {
    const same = other.steps.find((each) => each.step === step);
    return same === undefined ? Number.POSITIVE_INFINITY : Math.abs(same.loss - loss);
  });
  return Math.max(...differences);
}
