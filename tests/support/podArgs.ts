import type { ModelServerPodArgs } from "../../workloads/modelServer";
import type { TrainingPodArgs } from "../../workloads/training";
import { modelOf, settingsOf, trainingOf, validTree } from "./settings";

/** What both kinds of pods are made of. */
const COMMON = {
  accelerator: "cuda",
  claims: { modelOutput: "model-output-pvc", hubCache: undefined },
  pullSecrets: [],
  secrets: {},
  identity: false,
} as const;

/** What the pod of a model server is made of: of a valid model with some settings, and other arguments. */
export const modelServerArgs = (
  settings: object = {},
  change: Partial<ModelServerPodArgs> = {},
): ModelServerPodArgs => ({
  ...COMMON,
  stack: settingsOf(validTree()),
  settings: modelOf(settings),
  image: "r/i@sha256:0",
  trained: undefined,
  configMap: "config-1",
  apiKeySecret: "vllm-api-key-1",
  ...change,
});

/** What the training pod is made of: of a valid training with some settings, and other arguments. */
export const trainingPodArgs = (
  settings: object = {},
  change: Partial<TrainingPodArgs> = {},
): TrainingPodArgs => ({
  ...COMMON,
  files: { settings: trainingOf(settings), config: {} },
  runId: "0123456789",
  image: "r/t@sha256:0",
  trackingUri: "http://mlflow:5000",
  dataVolume: { name: "x", configMap: { name: "data" } },
  ...change,
});
