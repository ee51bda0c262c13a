import { readFileSync } from "node:fs";
import { join } from "node:path";
import { kubectl } from "./platform";
import { withPod } from "./pods";
import type { Losses } from "./shortRun";

/** What W&B has kept of one start of a training. */
export interface WandbRun {
  /** Folder in `wandb` of the run's folder. */
  readonly folder: string;
  readonly project: string;
  readonly name: string;
  readonly losses: Losses["steps"];
}

interface Job {
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly [object] } };
  };
}

const POD = "read-wandb";

/**
 * Reads what W&B has kept of a run in offline mode, start by start, with the package of the training image: in a pod
 * with the volumes of the run's Job, which reaches no network.
 *
 * @param scratch - folder for the pod's manifest.
 */
export async function wandbRuns(id: string, scratch: string): Promise<readonly WandbRun[]> {
  const name = `llama-factory-train-${id}`;
  const { spec } = JSON.parse(await kubectl("get", "job", name, "-o", "json")) as Job;
  const pod = spec.template.spec;
  const script = readFileSync(join(__dirname, "read_wandb.py"), "utf8");
  const command = ["python", "-c", script, `/app/output/${id}`];
  const container = { ...pod.containers[0], command, args: [] };
  const reader = { ...pod, initContainers: [], containers: [container] };
  return withPod(POD, reader, scratch, async () => {
    const ended = "--for=jsonpath={.status.phase}=Succeeded";
    await kubectl("wait", ended, `pod/${POD}`, "--timeout=2m");
    return JSON.parse(await kubectl("logs", POD)) as WandbRun[];
  });
}
