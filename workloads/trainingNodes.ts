import type { types } from "@pulumi/kubernetes";
import type { TrainingSettings } from "../config/training";
import { NAMES, selectorLabels } from "./names";
import { gpuCount, plainEnv } from "./pod";

/** Name of the Service that gives the pods of a run on several nodes their names. */
export const NODES_SERVICE = NAMES.trainingJob;

/** Port at which the pods meet; what they exchange after that goes over ports of their choice. */
const MASTER_PORT = 29_500;

const INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']";

type NodeSettings = Pick<TrainingSettings, "nodes" | "resources" | "deepspeed" | "runner">;

/** Name of the one kind of pods of a TrainJob, as Kubeflow Trainer has it in its own runtimes. */
export const TRAINER_PODS = "node";

/** Where the pod of a rank is found: by the Service of the stack, or that of the JobSet behind a TrainJob. */
function podAddress(
  { runner }: Pick<TrainingSettings, "runner">,
  id: string,
  rank: string,
): string {
  const run = `${NAMES.trainingJob}-${id}`;
  return runner === "trainjob"
    ? `${run}-${TRAINER_PODS}-0-${rank}.${run}`
    : `${run}-${rank}.${NODES_SERVICE}`;
}

/** Whether the stack makes the Service that names the pods; a JobSet brings its own. */
export function needsNodesService({
  nodes,
  runner,
}: Pick<TrainingSettings, "nodes" | "runner">): boolean {
  return nodes > 1 && runner === "job";
}

/** The part of a pod that puts it into that Service. */
export function subdomain(
  settings: Pick<TrainingSettings, "nodes" | "runner">,
): Pick<types.input.core.v1.PodSpec, "subdomain"> {
  return needsNodesService(settings) ? { subdomain: NODES_SERVICE } : {};
}

/** Environment of torchrun, as LLaMA-Factory reads it; nothing for one process on one node. */
export function torchrunEnv(
  settings: NodeSettings,
  id: string,
  accelerator: "cuda" | "cpu",
): types.input.core.v1.EnvVar[] {
  const { nodes, deepspeed } = settings;
  if (nodes === 1 && deepspeed === "none") return [];
  const processes = Math.max(1, gpuCount(settings.resources, accelerator));
  const torchrun = { FORCE_TORCHRUN: "1", NPROC_PER_NODE: String(processes) };
  if (nodes === 1) return plainEnv(torchrun);
  const address = (rank: string): string => podAddress(settings, id, rank);
  return [
    ...plainEnv({
      ...torchrun,
      NNODES: String(nodes),
      MASTER_ADDR: address("0"),
      MASTER_PORT: String(MASTER_PORT),
      LLMOPS_NODE_ADDRESS: address("{rank}"),
    }),
    { name: "NODE_RANK", valueFrom: { fieldRef: { fieldPath: INDEX } } },
  ];
}

/**
 * Fields of a Job of several pods with an index each. A pod that is lost takes the others with it,
 * so each retry may cost as many failures as there are pods.
 */
export function indexedFields({
  nodes,
  backoffLimit,
}: Pick<TrainingSettings, "nodes" | "backoffLimit">): Omit<
  types.input.batch.v1.JobSpec,
  "template"
> {
  if (nodes === 1) return { backoffLimit };
  return {
    completionMode: "Indexed",
    completions: nodes,
    parallelism: nodes,
    backoffLimit: backoffLimit * nodes,
  };
}

/** The headless Service: a pod has a name in it once its container runs. */
export function nodesServiceSpec(): types.input.core.v1.ServiceSpec {
  return { clusterIP: "None", selector: selectorLabels("training", NAMES.trainingJob) };
}
