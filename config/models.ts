import { z } from "zod";
import { dnsLabel, fetchResources, placement, resources, service } from "./primitives";
import { modelSource } from "./sources";

/** Longest model name: `llama-factory-inference-` and the name make a DNS label of 63. */
export const MAX_MODEL_NAME = 39;

/** One model server. */
export const modelSchema = z.strictObject({
  /** Names the Deployment and Service `llama-factory-inference-<name>`. */
  name: dnsLabel(MAX_MODEL_NAME),
  /** `model` in requests. @default name */
  servedName: z.string().min(1).max(128).optional(),
  source: modelSource,
  /** `vllm` runs `vllm serve`; `llamafactory` runs `llamafactory-cli api`. */
  server: z.enum(["vllm", "llamafactory"]).default("vllm"),
  /** Options of `vllm serve`, by their long names: they become /app/config/inference.yaml. */
  options: z
    .record(
      z
        .string()
        .regex(/^[a-z][a-z0-9-]*$/, { error: "an option of vllm serve, such as max-model-len" }),
      z.union([z.string(), z.number(), z.boolean()]),
    )
    .default({}),
  /** Bounds of the HorizontalPodAutoscaler. */
  replicas: z
    .strictObject({ min: z.int().min(1).default(1), max: z.int().min(1).max(1000).default(4) })
    .prefault({}),
  autoscaling: z
    .strictObject({
      /** `queue`: vllm:num_requests_waiting by the custom metrics API; `cpu`: CPU utilisation. */
      metric: z.enum(["queue", "cpu"]).default("queue"),
      /** Waiting requests a pod, or percent of the CPU request. @default 5 for queue, 50 for cpu */
      target: z.int().min(1).optional(),
    })
    .prefault({}),
  resources: resources({ cpu: "2", memory: "24Gi", shm: "2Gi" }),
  /** Of the init container that downloads the model. */
  fetchResources,
  /** Longest time that downloading the model may take. */
  fetchMinutes: z.int().min(1).max(1440).default(60),
  /** GiB for the KV cache on a CPU. Ignored with accelerator cuda. */
  cpuKvCacheGiB: z.int().min(1).max(512).default(4),
  placement,
  service,
  /** Longest time that loading the model may take. */
  startupMinutes: z.int().min(1).max(240).default(30),
  /** `true`: a rollout starts the new pod before the old one ends; needs a spare GPU. */
  surge: z.boolean().default(false),
});

export type ModelSettings = z.infer<typeof modelSchema>;

/** Every `model` that a server answers to. */
export function servedNames({
  name,
  servedName,
}: Pick<ModelSettings, "name" | "servedName">): readonly [string, ...string[]] {
  return [servedName ?? name];
}
