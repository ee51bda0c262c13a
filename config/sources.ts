import { z } from "zod";
import { plainUrl, relativePath } from "./primitives";

const volume = z.strictObject({
  kind: z.literal("volume"),
  /** Folder on `model-output-pvc`, such as `base/SmolLM2-135M-Instruct`. */
  path: relativePath,
});

const huggingface = z.strictObject({
  kind: z.literal("huggingface"),
  /** Hub id, such as `Qwen/Qwen3-8B`. */
  id: z.string().regex(/^[\w.-]+\/[\w.-]+$/, { error: "an id such as owner/name" }),
  /** Commit of the hub repository. */
  revision: z.string().regex(/^[0-9a-f]{40}$/, { error: "a commit SHA of 40 hex digits" }),
  /** Mirror of the hub. */
  endpoint: plainUrl.optional(),
  allowPatterns: z.array(z.string()).default(["*.safetensors", "*.json", "tokenizer*"]),
});

const gcs = z.strictObject({
  kind: z.literal("gcs"),
  /** Folder of the model, such as `gs://bucket/models/name`. */
  uri: z.string().regex(/^gs:\/\/[a-z0-9._-]+\/\S+$/, { error: "gs://bucket/folder" }),
  access: z.enum(["mount", "download"]),
});

const artifactory = z.strictObject({
  kind: z.literal("artifactory"),
  /** Path below ARTIFACTORY_URL: an archive (zip, tar.gz, tar.zst) or a folder. */
  path: relativePath,
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, { error: "64 hex digits" })
    .optional(),
});

const training = z.strictObject({ kind: z.literal("training") });

/** Where a served model comes from. */
export const modelSource = z.discriminatedUnion("kind", [
  volume,
  training,
  huggingface,
  gcs,
  artifactory,
]);

/** Where the model that is fine-tuned comes from: any source but this stack's own training. */
export const baseModelSource = z.discriminatedUnion("kind", [
  volume,
  huggingface,
  gcs,
  artifactory,
]);

export type ModelSource = z.infer<typeof modelSource>;
