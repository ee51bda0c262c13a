import type { Settings } from "../config/schema";

/** Lines of the log that are enough to hold the last word on the progress: what follows a training prints a lot. */
const TAIL = 500;

/** kubectl otherwise waits for a pod that is not there yet. */
const AT_ONCE = ["--request-timeout", "5s", "--pod-running-timeout", "1s"];

/**
 * Arguments of kubectl that print the end of the log of a training.
 *
 * @param container - the one that trains; the others of the pod say nothing of it.
 */
export function trainingLogArgs(
  { context, kubeconfig }: Pick<Settings["cluster"], "context" | "kubeconfig">,
  job: { readonly namespace: string; readonly name: string; readonly container: string },
): string[] {
  return [
    ...(kubeconfig === undefined ? [] : ["--kubeconfig", kubeconfig]),
    ...["--context", context, "--namespace", job.namespace],
    ...["logs", `job/${job.name}`, "--container", job.container, "--tail", String(TAIL)],
    ...AT_ONCE,
  ];
}

/** The last that a log says of the progress, such as `step 28 of 40, loss 0.1779, 0:00:21 left`; undefined: nothing yet. */
export function lastProgress(log: string): string | undefined {
  return [...log.matchAll(/\bstep \d+ of \d+\b.*/g)].at(-1)?.[0];
}
