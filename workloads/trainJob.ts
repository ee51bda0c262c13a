import type { TrainingPodArgs } from "./training";
import { COMMIT_PATH } from "./training";
import { trainingJobSpec } from "./trainingJob";
import { TRAINER_PODS } from "./trainingNodes";

const GROUP = "trainer.kubeflow.org";

/** The API of Kubeflow Trainer 2. */
export const TRAINER_API = `${GROUP}/v1alpha1`;

/**
 * The `spec` of the TrainingRuntime: the Job as it is without Kubeflow Trainer, retries, deadline and all. It names no
 * framework, so the pods keep their own environment: LLaMA-Factory starts torchrun itself.
 */
export function trainingRuntimeSpec(args: TrainingPodArgs): object {
  const job = {
    metadata: { labels: { [`${GROUP}/trainjob-ancestor-step`]: "trainer" } },
    spec: trainingJobSpec(args),
  };
  return {
    mlPolicy: { numNodes: args.files.settings.nodes },
    template: { spec: { replicatedJobs: [{ name: TRAINER_PODS, template: job }] } },
  };
}

/** Where the `spec` of the TrainingRuntime has the commit. */
export const RUNTIME_COMMIT_PATH = `template.spec.replicatedJobs[0].template.spec.${COMMIT_PATH}`;

/** The `spec` of the TrainJob: a run of the runtime of that name. */
export function trainJobSpec(runtime: string): object {
  return { runtimeRef: { apiGroup: GROUP, kind: "TrainingRuntime", name: runtime } };
}
