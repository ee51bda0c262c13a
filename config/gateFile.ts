import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { unreadable } from "./dataset";
import type { Fault } from "./faults";
import type { Threshold } from "./gate";
import type { TrainingConfig } from "./trainingFile";

/** The questions travel in an annotation of the pod; all its annotations together may have 256 KiB. */
const MAX_QUESTION_BYTES = 100 * 1024;

const questionsSchema = z
  .array(z.strictObject({ question: z.string().trim().min(1), answer: z.string().trim().min(1) }))
  .min(1, { error: "at least one question" });

/** The gate as the training image reads it from gate.json. */
export interface Gate {
  readonly thresholds: readonly {
    readonly metric: Threshold["metric"];
    readonly max?: number;
    readonly min?: number;
  }[];
  readonly answers?: {
    readonly questions: z.infer<typeof questionsSchema>;
    readonly match: "contains" | "exact";
    readonly maxNewTokens: number;
  };
}

function problem(text: string): { questions: z.infer<typeof questionsSchema> } | string {
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_QUESTION_BYTES) return `${String(bytes)} bytes`;
  try {
    const parsed = questionsSchema.safeParse(JSON.parse(text));
    return parsed.success
      ? { questions: parsed.data }
      : z.prettifyError(parsed.error).replaceAll("\n", " ");
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function readQuestions(
  root: string,
  key: string,
  path: string,
  faults: Fault[],
): z.infer<typeof questionsSchema> {
  try {
    const read = problem(readFileSync(join(root, path), "utf8"));
    if (typeof read !== "string") return read.questions;
    faults.push({
      key,
      got: `"${path}": ${read}`,
      allowed: `a JSON list of {"question": "…", "answer": "…"}, at most ${String(MAX_QUESTION_BYTES)} bytes`,
      fix: `mend ${path}`,
    });
  } catch (error) {
    faults.push(unreadable(key, path, error));
  }
  return [];
}

/** Whether LLaMA-Factory has something to evaluate on. */
function hasHeldOut(config: TrainingConfig): boolean {
  const size = config["val_size"];
  return config["eval_dataset"] !== undefined || (typeof size === "number" && size > 0);
}

function heldOutFaults(file: string, config: TrainingConfig): Fault[] {
  const fault = (key: string, got: string, allowed: string, fix: string): Fault => ({
    key: `training.configFile (${file}) ${key}`,
    got,
    allowed: `${allowed}: training.gate has a threshold for eval_loss`,
    fix,
  });
  return [
    ...(hasHeldOut(config)
      ? []
      : [
          fault(
            "val_size",
            "neither eval_dataset nor val_size",
            "data that is not trained on",
            `write "val_size: 0.1" in ${file}`,
          ),
        ]),
    ...(config["do_eval"] === false
      ? [fault("do_eval", "false", "true, or not set", `remove do_eval from ${file}`)]
      : []),
  ];
}

function heldOutQuestions(
  key: string,
  gate: Gate,
  data: Readonly<Record<string, string>> | undefined,
): Fault[] {
  const trained = Object.values(data ?? {}).join("\n");
  return (gate.answers?.questions ?? []).flatMap(({ question }) =>
    trained.includes(JSON.stringify(question))
      ? [
          {
            key,
            got: `"${question}", which the training data has too`,
            allowed: "questions that are not trained on",
            fix: `word "${question}" another way`,
          },
        ]
      : [],
  );
}

/**
 * The gate of a training run with its questions, and what is wrong with it. `data` is the training
 * data, where it is in the project.
 */
export function readGate(
  root: string,
  settings: { readonly configFile: string; readonly gate?: readonly Threshold[] | undefined },
  config: TrainingConfig,
  data: Readonly<Record<string, string>> | undefined,
): { readonly gate: Gate | undefined; readonly faults: readonly Fault[] } {
  const { gate: all, configFile } = settings;
  if (all === undefined) return { gate: undefined, faults: [] };
  const faults: Fault[] = [];
  const thresholds = all.map(({ metric, ...rest }) =>
    "max" in rest ? { metric, max: rest.max } : { metric, min: rest.min },
  );
  if (thresholds.some(({ metric }) => metric === "eval_loss")) {
    faults.push(...heldOutFaults(configFile, config));
  }
  const index = all.findIndex(({ metric }) => metric === "answers");
  const task = all[index];
  if (task?.metric !== "answers") return { gate: { thresholds }, faults };
  const key = `training.gate[${String(index)}].questions`;
  const { match, maxNewTokens } = task;
  const questions = readQuestions(root, key, task.questions, faults);
  const gate = { thresholds, answers: { questions, match, maxNewTokens } };
  faults.push(...heldOutQuestions(key, gate, data));
  return { gate, faults };
}
