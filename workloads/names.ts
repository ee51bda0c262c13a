import type { Settings } from "../config/schema";

/** Names of the Kubernetes objects. Users and other stacks rely on them. */
export const NAMES = {
  trainingJob: "llama-factory-train",
  modelServer: "llama-factory-inference",
  autoscaler: "llama-inference-hpa",
  mlflow: "mlflow",
  frontDoor: "llm-front-door",
  modelPods: "inference-pods",
  board: "llama-board",
  mlflowGc: "mlflow-gc",
  mlflowBackup: "mlflow-backup",
  postgres: "mlflow-postgres",
  hubSecret: "hf-secret",
  artifactorySecret: "artifactory-secret",
  gcsSecret: "gcs-secret",
  wandbSecret: "wandb-secret",
  apiKeySecret: "vllm-api-key",
  mlflowDatabaseSecret: "mlflow-database-secret",
  mlflowAuthSecret: "mlflow-auth-secret",
  boardSecret: "board-secret",
  otlpSecret: "otlp-secret",
  modelOutput: "model-output-pvc",
  trainingData: "training-data-pvc",
  mlflowClaim: "mlflow-pvc",
  mlflowDatabaseClaim: "mlflow-database-pvc",
  mlflowBackupClaim: "mlflow-backup-pvc",
  hubCache: "hub-cache-pvc",
  compileCache: "compile-cache-pvc",
  secretReader: "llmops-secrets",
  secretStore: "secret-manager",
  fetchContainer: "fetch-model",
  restoreContainer: "restore-compile-cache",
  fetchDataContainer: "fetch-data",
} as const;

/** Ports that the containers listen on. */
export const PORTS = {
  modelServer: 8000,
  mlflow: 5000,
  postgres: 5432,
  board: 7860,
  dcgmExporter: 9400,
  frontDoor: 8080,
  frontDoorMetrics: 9090,
  /** On the loopback address of the pod only. */
  frontDoorAdmin: 9901,
} as const;

/** Name of a model's Deployment and Service. */
export function modelServerName(model: string): string {
  return `${NAMES.modelServer}-${model}`;
}

/** Name of the headless Service that lists the ready pods of a model. */
export function modelPodsName(model: string): string {
  return `${NAMES.modelPods}-${model}`;
}

/** The part that a pod plays. NetworkPolicies select pods by it. */
export type Role = "training" | "inference" | "mlflow" | "postgres" | "front-door" | "board";

/** The roles that pods of a stack have. */
export function rolesOf({
  frontDoor,
  board,
  mlflow,
}: Pick<Settings, "frontDoor" | "board" | "mlflow">): Role[] {
  return [
    "training",
    "inference",
    "mlflow",
    ...(mlflow.backend.kind === "postgres" ? ["postgres" as const] : []),
    ...(frontDoor.enabled ? ["front-door" as const] : []),
    ...(board.enabled ? ["board" as const] : []),
  ];
}

/** Name of the service account that a role's pods run as. */
export function serviceAccountName(role: Role): string {
  return `llmops-${role}`;
}

/** Labels that tell all pods of one workload from others. Immutable in a Deployment's selector. */
export function selectorLabels(role: Role, instance: string): Record<string, string> {
  return { "app.kubernetes.io/component": role, "app.kubernetes.io/instance": instance };
}

/** Labels that tell the objects of a stack from what else is in the cluster. */
export const STACK_LABELS: Readonly<Record<string, string>> = {
  "app.kubernetes.io/part-of": "llmops",
  "app.kubernetes.io/managed-by": "pulumi",
};

/** Labels of every object of a workload. */
export function labels(role: Role, instance: string): Record<string, string> {
  return { ...selectorLabels(role, instance), ...STACK_LABELS };
}
