/** Names of the Kubernetes objects. Users and other stacks rely on them. */
export const NAMES = {
  trainingJob: "llama-factory-train",
  modelServer: "llama-factory-inference",
  autoscaler: "llama-inference-hpa",
  mlflow: "mlflow",
  board: "llama-board",
  hubSecret: "hf-secret",
  artifactorySecret: "artifactory-secret",
  gcsSecret: "gcs-secret",
  wandbSecret: "wandb-secret",
  apiKeySecret: "vllm-api-key",
  modelOutput: "model-output-pvc",
  trainingData: "training-data-pvc",
  mlflowClaim: "mlflow-pvc",
  hubCache: "hub-cache-pvc",
  fetchContainer: "fetch-model",
} as const;

/** Ports that the containers listen on. */
export const PORTS = { modelServer: 8000, mlflow: 5000, board: 7860, dcgmExporter: 9400 } as const;

/** Name of a model's Deployment and Service. */
export function modelServerName(model: string): string {
  return `${NAMES.modelServer}-${model}`;
}

/** The part that a pod plays. NetworkPolicies select pods by it. */
export type Role = "training" | "inference" | "mlflow" | "board";

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
