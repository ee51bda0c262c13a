import * as pulumi from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import { stringify } from "yaml";
import type { ModelSettings } from "../config/models";
import type { Settings } from "../config/schema";
import { hasOpposite } from "../config/serverOptions";
import { PORTS } from "./names";
import type { SecretNames } from "./pod";
import { CONFIG_FOLDER, plainEnv, secretEnv } from "./pod";
import type { TrainedRun } from "./servedRun";
import { servedModel } from "./servedRun";
import { traceArgs, traceEnv, traceTarget } from "./tracing";

/** Seconds that a server waits for requests under way once it is told to end. */
export const SHUTDOWN_SECONDS = 45;

/** File in {@link CONFIG_FOLDER} with the options of the server. */
export const CONFIG_FILE = "inference.yaml";

/** What the container of a server depends on. */
export interface ServerArgs {
  readonly settings: ModelSettings;
  readonly stack: Pick<Settings, "namespace" | "training" | "mlflow" | "tracing">;
  /** The stack's training and its run, if there is one. */
  readonly trained: TrainedRun | undefined;
  /** Name of the Secret with VLLM_API_KEY. */
  readonly apiKeySecret: pulumi.Input<string>;
  /** Names of the Secrets that exist, by the key read from them. */
  readonly secrets: SecretNames;
}

/** How one of the two servers is started and asked. */
export interface Server {
  /** Text of the options file. */
  readonly yaml: (settings: Pick<ModelSettings, "options" | "adapters">) => string;
  /** Arguments of the image's entry point. They hold no secret: a process list shows them. */
  readonly args: (args: ServerArgs) => pulumi.Input<string>[];
  readonly env: (args: ServerArgs) => types.input.core.v1.EnvVar[];
  /** Route that answers without a key for as long as the server lives. */
  readonly health: string;
  /** Whether it answers chats only, and no plain prompts. */
  readonly chatOnly: boolean;
  /** Whether it has metrics on its port. */
  readonly metrics: boolean;
}

const FILE = `${CONFIG_FOLDER}/${CONFIG_FILE}`;

/** Options of vLLM that the platform sets; the stack is refused if it sets them too. */
const VLLM_OPTIONS = {
  host: "0.0.0.0",
  port: PORTS.modelServer,
  "shutdown-timeout": SHUTDOWN_SECONDS,
  "disable-access-log-for-endpoints": "/health,/metrics,/ping",
} as const;

/** Most adapters in one batch where the stack does not say: each takes memory of the GPU. */
const MAX_LORAS = 4;

/** vLLM drops what is false in its file; the opposite of an option says it. */
function switched([name, value]: [string, ModelSettings["options"][string]]): [string, unknown] {
  if (value !== false || !hasOpposite(name)) return [name, value];
  return [name.startsWith("no-") ? name.slice("no-".length) : `no-${name}`, true];
}

const vllm: Server = {
  yaml: ({ options, adapters }) =>
    stringify({
      ...(adapters.length > 0
        ? { "enable-lora": true, "max-loras": Math.min(adapters.length, MAX_LORAS) }
        : {}),
      ...Object.fromEntries(Object.entries(options).map(switched)),
      ...VLLM_OPTIONS,
    }),
  args: ({ settings: { name, servedName, source, adapters, canary }, stack, trained }) => [
    "serve",
    servedModel(source, trained).modelPath,
    "--served-model-name",
    // The first one is what its metrics are labelled with.
    servedName ?? name,
    ...(canary === undefined ? [] : [canary.of]),
    "--config",
    FILE,
    ...traceArgs(traceTarget(stack)),
    ...(adapters.length > 0 ? ["--lora-modules"] : []),
    ...adapters.map(
      (adapter) =>
        pulumi.interpolate`${adapter.name}=${servedModel(adapter.source, trained, adapter.name).modelPath}`,
    ),
  ],
  env: ({ settings: { name: model }, stack, apiKeySecret, secrets }) => [
    secretEnv("VLLM_API_KEY", apiKeySecret),
    ...traceEnv(traceTarget(stack), { model, namespace: stack.namespace, secrets }),
  ],
  health: "/health",
  chatOnly: false,
  metrics: true,
};

/** Its file names everything but the model, whose folder changes with every training run. */
const llamafactory: Server = {
  yaml: ({ options }) => stringify({ ...options, infer_backend: "vllm" }),
  args: ({ settings: { source }, trained }) => [
    "api",
    FILE,
    pulumi.interpolate`model_name_or_path=${servedModel(source, trained).modelPath}`,
  ],
  env: ({ settings: { name, servedName }, apiKeySecret }) => [
    ...plainEnv({
      API_HOST: "0.0.0.0",
      API_PORT: String(PORTS.modelServer),
      API_MODEL_NAME: servedName ?? name,
    }),
    secretEnv("VLLM_API_KEY", apiKeySecret, "API_KEY"),
  ],
  // It has no health route; this page is the one that needs no key.
  health: "/docs",
  chatOnly: true,
  metrics: false,
};

/** The servers by the name that settings give them. */
export const SERVERS = { vllm, llamafactory } satisfies Record<ModelSettings["server"], Server>;
