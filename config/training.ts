import { z } from "zod";
import { gateSchema } from "./gate";
import {
  bucketFolder,
  dnsLabel,
  fetchResources,
  placement,
  relativePath,
  resources,
} from "./primitives";
import type { DataSource } from "./sources";
import { baseModelSource, bucketAccess, dataSources, isDownloaded } from "./sources";

const data = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("files"),
    /** Folder of the project with dataset_info.json and the data, at most 900 KiB together. */
    path: relativePath,
  }),
  z.strictObject({
    kind: z.literal("volume"),
    /** Folder on `training-data-pvc`. @default its top */
    path: relativePath.optional(),
  }),
  ...dataSources,
]);

const publish = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("gcs"),
    /** Folder that gets a folder a run. */
    target: bucketFolder,
    ...bucketAccess,
  }),
  z.strictObject({
    kind: z.literal("artifactory"),
    /** Path below ARTIFACTORY_URL that gets a folder a run. */
    target: relativePath,
  }),
]);

/** The fine-tuning run of a stack. */
export const trainingSchema = z.strictObject({
  /** LLaMA-Factory training YAML, relative to the project. */
  configFile: relativePath,
  baseModel: baseModelSource,
  data,
  /** Any text; a new value trains again with everything else unchanged. */
  run: z
    .string()
    .regex(/^[\w.-]{1,63}$/, { error: "letters, digits, '.', '_' and '-', at most 63" })
    .default("1"),
  /** Merge a LoRA adapter into the base model after training, so that it can be served. */
  merge: z.boolean().default(true),
  /** MLflow experiment, and project in W&B. */
  experiment: z.string().min(1).default("llama-factory"),
  tracking: z
    .strictObject({
      mlflow: z.boolean().default(true),
      /** CPU, memory, disk and GPUs of the pod, every 15 seconds, beside the metrics in MLflow. */
      systemMetrics: z.boolean().default(false),
      /** Weights & Biases; needs the secret WANDB_API_KEY unless it is offline. */
      wandb: z.boolean().default(false),
      /** `offline` keeps what is for W&B in the folder of the run, for `wandb sync` later. */
      wandbMode: z.enum(["online", "offline"]).default("online"),
      /** Event files for TensorBoard, in the folder of the run and among the artifacts in MLflow. */
      tensorboard: z.boolean().default(false),
    })
    .prefault({}),
  resources: resources({ cpu: "4", memory: "32Gi", shm: "8Gi" }),
  /** Of the init containers that download the base model and the data. */
  fetchResources,
  placement,
  /**
   * `false`: `pulumi up` starts the run and does not wait; the new pods of its model servers wait
   * for it, and `pulumi up` does not wait for them either.
   */
  await: z.boolean().default(true),
  /** Retries of a failed pod; each resumes from the last checkpoint. */
  backoffLimit: z.int().min(0).max(10).default(1),
  /** The Job is ended, and `pulumi up` stops waiting for it, after so many minutes. */
  timeoutMinutes: z.int().min(1).max(43_200).default(1440),
  /** Pods that train together, each on `resources.gpu` GPUs; more than one need a volume that all can write. */
  nodes: z.int().min(1).max(64).default(1),
  /** What DeepSpeed spreads over the GPUs: `zero2` gradients and optimizer, `zero3` the model too. */
  deepspeed: z.enum(["none", "zero2", "zero3"]).default("none"),
  /**
   * What runs the pods: a Job of Kubernetes, or a TrainJob of Kubeflow Trainer, where that is installed. With
   * `trainjob`, `await` must be false.
   */
  runner: z.enum(["job", "trainjob"]).default("job"),
  /** LocalQueue of Kueue, which starts the Job once there is room for all of its pods. */
  queue: dnsLabel(253).optional(),
  /** Serve, publish and register the result only if each of these metrics is good enough. */
  gate: gateSchema.optional(),
  /** Where the finished model is uploaded to. */
  publish: publish.optional(),
  /** Model of MLflow's registry that a published run becomes a version of. @default experiment */
  registeredModel: z.string().min(1).optional(),
  /** GPU metrics from a dcgm-exporter beside the trainer. Needs `images.dcgmExporter`. */
  dcgmExporter: z.boolean().default(false),
});

/** Whether an init container downloads the data. */
export function isDownloadedData(source: z.infer<typeof data>): source is DataSource {
  return source.kind !== "files" && source.kind !== "volume";
}

export type TrainingSettings = z.infer<typeof trainingSchema>;

/** Whether the pod of a run downloads anything before it trains. */
export function downloads({
  baseModel,
  data: source,
}: Pick<TrainingSettings, "baseModel" | "data">): boolean {
  return isDownloaded(baseModel) || isDownloadedData(source);
}
export type PublishSettings = z.infer<typeof publish>;
