import type { types } from "@pulumi/kubernetes";

const DEADLINE_SECONDS = 3600;

/** A CronJob, by UTC: one run at a time, an hour for each, and one retry. */
export function cronJobSpec(
  schedule: string,
  template: types.input.core.v1.PodTemplateSpec,
): types.input.batch.v1.CronJobSpec {
  return {
    schedule,
    timeZone: "Etc/UTC",
    concurrencyPolicy: "Forbid",
    startingDeadlineSeconds: DEADLINE_SECONDS,
    successfulJobsHistoryLimit: 1,
    failedJobsHistoryLimit: 3,
    jobTemplate: {
      spec: { backoffLimit: 1, activeDeadlineSeconds: DEADLINE_SECONDS, template },
    },
  };
}
