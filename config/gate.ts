import { z } from "zod";
import { relativePath } from "./primitives";

const threshold = z.discriminatedUnion("metric", [
  z.strictObject({
    /** Loss on the data set of `eval_dataset`, or on the part of `val_size`, of the training file. */
    metric: z.literal("eval_loss"),
    /** Largest loss that passes. */
    max: z.number().positive(),
  }),
  z.strictObject({
    /** Share of held-out questions that the trained model answers right, from 0 to 1. */
    metric: z.literal("answers"),
    /** Smallest share that passes. */
    min: z.number().min(0).max(1),
    /** File of the project: a JSON list of `{"question": …, "answer": …}`, at most 100 KiB. */
    questions: relativePath,
    /** `contains`: the answer is part of what the model says; `exact`: all of it. Case and spaces do not count. */
    match: z.enum(["contains", "exact"]).default("contains"),
    /** Longest answer, in tokens. */
    maxNewTokens: z.int().min(1).max(4096).default(64),
  }),
]);

/** What a run must reach before anything of it is served, published or registered. */
export const gateSchema = z
  .array(threshold)
  .min(1, { error: "at least one threshold" })
  .refine((all) => new Set(all.map(({ metric }) => metric)).size === all.length, {
    error: "each metric once",
  });

/** One bound of the gate. */
export type Threshold = z.infer<typeof threshold>;
