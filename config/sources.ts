import { z } from "zod";
import { datasetEntry } from "./datasetRows";
import { bucketFolder, plainUrl, relativePath } from "./primitives";

/** How the name of an archive ends. */
export const ARCHIVE = /\.(zip|tar|tgz|tar\.gz|tar\.zst)$/i;

/** How a bucket is reached, where that is not by Google's public address with an identity. */
export const bucketAccess = {
  /** Base URL of the JSON API, such as that of a private access point. */
  endpoint: plainUrl.optional(),
  /** The bucket asks for no credentials. */
  anonymous: z.boolean().default(false),
};

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
  /** Mirror of the hub, or Artifactory's proxy of it. */
  endpoint: plainUrl.optional(),
  /** Files to download, as the hub's patterns. */
  allowPatterns: z
    .array(z.string().min(1))
    .min(1, { error: "at least one pattern" })
    .default(["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "tokenizer*"]),
  /** The hub hands it out only to accounts that were let in, so the secret HF_TOKEN is needed. */
  gated: z.boolean().default(false),
});

const gcs = z.strictObject({
  kind: z.literal("gcs"),
  /** Folder of the model, such as `gs://bucket/models/name`. */
  uri: bucketFolder,
  /** `mount`: GKE mounts the bucket, and nothing is copied; `download`: onto the volume. */
  access: z.enum(["mount", "download"]),
  ...bucketAccess,
});

const artifactory = z.strictObject({
  kind: z.literal("artifactory"),
  /** Path below ARTIFACTORY_URL: an archive (zip, tar, tar.gz, tgz, tar.zst) or a folder. */
  path: relativePath,
  /** Checksum of the archive. @default what the server reports */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, { error: "64 hex digits" })
    .optional(),
});

const training = z.strictObject({
  kind: z.literal("training"),
  /** Id of an earlier run to serve, such as the last good one. @default the run of this stack's training section */
  run: z
    .string()
    .regex(/^[0-9a-f]{10}$/, {
      error: "a run id of 10 hex digits, as a folder of the volume has it",
    })
    .optional(),
});

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

/** What every kind of data from outside may have. */
const dataFields = {
  /** Its dataset_info.json, where the source has none or another one is wanted. */
  info: z.record(z.string(), datasetEntry.extend({ file_name: relativePath })).optional(),
};

/** Where data to train on is downloaded from: the places that models come from. */
export const dataSources = [
  huggingface.extend({
    /** Files to download, as the hub's patterns. */
    allowPatterns: z
      .array(z.string().min(1))
      .min(1, { error: "at least one pattern" })
      .default(["*.json", "*.jsonl", "*.csv", "*.txt", "*.parquet", "*.arrow"]),
    ...dataFields,
  }),
  gcs.extend({
    /** Data is always copied onto the volume. */
    access: z.literal("download").default("download"),
    ...dataFields,
  }),
  artifactory.extend(dataFields),
] as const;

export type DataSource = z.infer<(typeof dataSources)[number]>;
export type ModelSource = z.infer<typeof modelSource>;
export type GcsSource = z.infer<typeof gcs>;

/** A source outside of the cluster. */
export type RemoteSource = Extract<ModelSource, { kind: "huggingface" | "gcs" | "artifactory" }>;

/** A source that an init container copies onto a volume. */
export type DownloadedSource =
  Exclude<RemoteSource, { kind: "gcs" }> | (GcsSource & { access: "download" });

/** Whether a model comes from outside of the cluster. */
export function isRemote(source: ModelSource): source is RemoteSource {
  return source.kind !== "volume" && source.kind !== "training";
}

/** Whether an init container copies the model onto a volume. */
export function isDownloaded(source: ModelSource): source is DownloadedSource {
  return isRemote(source) && !(source.kind === "gcs" && source.access === "mount");
}
