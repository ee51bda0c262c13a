import { z } from "zod";
import { dnsLabel, fetchResources, placement, resources, service } from "./primitives";
import { isDownloaded, modelSource } from "./sources";

/** Longest model name: `llama-factory-inference-` and the name make a DNS label of 63. */
export const MAX_MODEL_NAME = 39;

/** Longest adapter name: `fetch-adapter-` and the name make a DNS label of 63. */
const MAX_ADAPTER_NAME = 49;

const adapter = z.strictObject({
  /** `model` in requests for it. */
  name: dnsLabel(MAX_ADAPTER_NAME),
  /** Folder with adapter_config.json, from anywhere that a model may come from. */
  source: modelSource,
});

/** One model server. */
export const modelSchema = z.strictObject({
  /** Names the Deployment and Service `llama-factory-inference-<name>`. */
  name: dnsLabel(MAX_MODEL_NAME),
  /** `model` in requests. @default name */
  servedName: z.string().min(1).max(128).optional(),
  source: modelSource,
  /** `vllm` runs `vllm serve`; `llamafactory` runs `llamafactory-cli api`. */
  server: z.enum(["vllm", "llamafactory"]).default("vllm"),
  /**
   * Options of `vllm serve` by their long names, or inference keys of LLaMA-Factory: they become
   * /app/config/inference.yaml. Names that the server in the image does not know are refused.
   */
  options: z
    .record(
      z.string().regex(/^[a-z][a-z0-9_-]*$/, {
        error:
          "an option such as max-model-len, or with server llamafactory a key such as template",
      }),
      z.union([z.string(), z.number(), z.boolean()]),
    )
    .default({}),
  /** LoRA adapters on this model, each served under a name of its own by the same GPU. */
  adapters: z.array(adapter).default([]),
  /** Bounds of the autoscaler. `min: 0` needs `autoscaling.kind: keda`. */
  replicas: z
    .strictObject({ min: z.int().min(0).default(1), max: z.int().min(1).max(1000).default(4) })
    .prefault({}),
  autoscaling: z
    .strictObject({
      /** `hpa`: Kubernetes' own autoscaler; `keda`: KEDA, which asks Prometheus and can go to zero. */
      kind: z.enum(["hpa", "keda"]).default("hpa"),
      /** `queue`: vllm:num_requests_waiting by the custom metrics API; `cpu`: CPU utilisation. */
      metric: z.enum(["queue", "cpu"]).default("queue"),
      /** Waiting requests a pod, or percent of the CPU request. @default 5 for queue, 50 for cpu */
      target: z.int().min(1).optional(),
      /** Replicas at most double every so many seconds. */
      scaleUpSeconds: z.int().min(1).max(1800).default(60),
      /** One replica is taken away after so many quiet seconds. */
      scaleDownSeconds: z.int().min(1).max(1800).default(300),
      /**
       * With `replicas.min: 0`: the last replica is taken away after so long without a request.
       * @default as long as a load of the model may take
       */
      idleMinutes: z.int().min(1).max(1440).optional(),
    })
    .prefault({}),
  resources: resources({ cpu: "2", memory: "24Gi", shm: "2Gi" }),
  /** Of each init container that downloads the model or an adapter. */
  fetchResources,
  /** Longest time that downloading the model and its adapters may take. */
  fetchMinutes: z.int().min(1).max(1440).default(60),
  /** GiB for the KV cache on a CPU. Ignored with accelerator cuda. */
  cpuKvCacheGiB: z.int().min(1).max(512).default(4),
  placement,
  service,
  /**
   * `true`: keeps what the server compiles at its start, so that the next pod of the same image, model and options does
   * not compile it again; on `storage.compileCache`, or in the folder `compile-cache` of `model-output-pvc`.
   */
  compileCache: z.boolean().default(false),
  /** Longest time that loading the model may take. */
  startupMinutes: z.int().min(1).max(240).default(30),
  /**
   * `answers`: a pod serves once each of its names has answered a prompt; `healthy`: once the server
   * says so, for models that write no text.
   */
  readyWhen: z.enum(["answers", "healthy"]).default("answers"),
  /**
   * `true`: a rollout ends an old pod only when a new one serves, so a version that does not start
   * leaves the old one serving; needs a spare GPU. `false`: with one replica the old one ends first.
   */
  surge: z.boolean().default(false),
  /** The front door sends part of the requests for another model to this one. */
  canary: z
    .strictObject({
      /** The other model's own name in requests. */
      of: z.string().min(1).max(128),
      /** Percent of the requests for it. */
      weight: z.int().min(1).max(99),
    })
    .optional(),
});

export type ModelSettings = z.infer<typeof modelSchema>;

/** Longest time that a pod may take until it serves: download and load. */
export function loadMinutes({
  source,
  adapters,
  fetchMinutes,
  startupMinutes,
}: Pick<ModelSettings, "source" | "adapters" | "fetchMinutes" | "startupMinutes">): number {
  const downloads = [source, ...adapters.map((adapter) => adapter.source)].some(isDownloaded);
  return startupMinutes + (downloads ? fetchMinutes : 0);
}

/** Every `model` that a server answers to: its own name first, then those of its adapters. */
export function servedNames({
  name,
  servedName,
  adapters,
}: Pick<ModelSettings, "name" | "servedName" | "adapters">): readonly [string, ...string[]] {
  return [servedName ?? name, ...adapters.map((each) => each.name)];
}

/** Every name that a server must answer to: its own, and that of the model it is a canary of. */
export function answeredNames(
  settings: Pick<ModelSettings, "name" | "servedName" | "adapters" | "canary">,
): readonly string[] {
  const { canary } = settings;
  return [...servedNames(settings), ...(canary === undefined ? [] : [canary.of])];
}
