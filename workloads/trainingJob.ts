import type { types } from "@pulumi/kubernetes";
import { setCommand } from "../config/faults";
import { isDownloaded } from "../config/sources";
import type { TrainingSettings } from "../config/training";
import { isDownloadedData } from "../config/training";
import { FETCH_EXIT } from "./fetch";
import { NAMES, labels } from "./names";
import type { TrainingPodArgs } from "./training";
import { trainingContainer, trainingPod } from "./training";
import { indexedFields } from "./trainingNodes";

/** How the training container ends when another try of the same cannot help; see docs/training.md. */
export const TRAINING_EXIT = { usage: 2, data: 65, config: 78, gate: 79 } as const;

type FailureRule = types.input.batch.v1.PodFailurePolicyRule;

const onExit = (containerName: string, action: string, values: number[]): FailureRule => ({
  action,
  onExitCodes: { containerName, operator: "In", values },
});

/**
 * What ends a Job early and what does not count as a retry: an eviction, and a download or a
 * publish that may work later. One that cannot work before something is changed ends the Job at
 * once, as do wrong data and a gate that is not passed.
 */
function failureRules(
  settings: Pick<TrainingSettings, "baseModel" | "data" | "publish" | "runner">,
): FailureRule[] {
  const { baseModel, data, publish } = settings;
  const trainer = trainingContainer(settings);
  const fetching = [
    ...(isDownloaded(baseModel) ? [NAMES.fetchContainer] : []),
    ...(isDownloadedData(data) ? [NAMES.fetchDataContainer] : []),
  ];
  return [
    { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
    ...fetching.flatMap((container) => [
      onExit(container, "Ignore", [FETCH_EXIT.retry]),
      onExit(container, "FailJob", [FETCH_EXIT.usage, FETCH_EXIT.config]),
    ]),
    ...(publish === undefined ? [] : [onExit(trainer, "Ignore", [FETCH_EXIT.retry])]),
    onExit(trainer, "FailJob", Object.values(TRAINING_EXIT)),
  ];
}

/** The Job around the pod: retries resume, evictions do not count, nothing deletes it by itself. */
export function trainingJobSpec(args: TrainingPodArgs): types.input.batch.v1.JobSpec {
  const { settings } = args.files;
  return {
    ...indexedFields(settings),
    activeDeadlineSeconds: settings.timeoutMinutes * 60,
    podFailurePolicy: { rules: failureRules(settings) },
    template: trainingPod(args),
  };
}

/**
 * What to do about a training Job that has failed. Its resource stays failed, whatever has been mended: only another
 * run, or the same run in a new Job, changes that.
 */
export function failedJobAdvice(urn: string, run: string): string {
  return [
    "if the training Job has failed, the next pulumi up of the same settings fails like this one. Mend the cause, then",
    "  go on with this run, from its last checkpoint: pulumi up --replace '" + urn + "'",
    `  or train a new run: ${setCommand("training.run", `${run}-again`)}`,
    "  A changed setting of the run, training file or data set makes a new run by itself.",
  ].join("\n");
}

/** Labels of the Job: Kueue holds back one with a queue until there is room for all of its pods. */
export function trainingJobLabels({
  queue,
}: Pick<TrainingSettings, "queue">): Record<string, string> {
  return {
    ...labels("training", NAMES.trainingJob),
    ...(queue === undefined ? {} : { "kueue.x-k8s.io/queue-name": queue }),
  };
}
