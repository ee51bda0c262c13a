import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/schema";
import { lastProgress, trainingLogArgs } from "../workloads/trainingProgress";

const SECONDS = 10;
/** Longest time, in milliseconds, that kubectl may take: the update waits for its last answer. */
const PATIENCE = { timeout: 10_000 };

/**
 * Shows how far a training is while `pulumi up` waits for its Job: step, loss and time left, in the row of the component.
 * It asks kubectl for the log of the pod; where that cannot answer, nothing is shown, and nothing else is different.
 */
export class TrainingProgress {
  /** For the Job: from before it is made until it has ended. */
  public readonly hooks: Required<Pick<pulumi.ResourceHookBinding, "beforeCreate" | "afterCreate">>;
  private readonly component: pulumi.Resource;
  private readonly cluster: Settings["cluster"];
  private readonly container: string;
  private job: { readonly namespace: string; readonly name: string } | undefined;
  private said: string | undefined;
  private timer: NodeJS.Timeout | undefined;

  public constructor(
    name: string,
    component: pulumi.Resource,
    cluster: Settings["cluster"],
    container: string,
  ) {
    this.component = component;
    this.cluster = cluster;
    this.container = container;
    const begin = new pulumi.ResourceHook(`${name}-begins`, ({ newInputs }) => {
      this.follow(newInputs as { metadata: { namespace: string; name: string } });
    });
    const end = new pulumi.ResourceHook(`${name}-ended`, () => {
      clearInterval(this.timer);
      return this.look();
    });
    this.hooks = { beforeCreate: [begin], afterCreate: [end] };
  }

  private follow({ metadata }: { metadata: { namespace: string; name: string } }): void {
    this.job = metadata;
    // It keeps no program running.
    this.timer = setInterval(() => void this.look(), SECONDS * 1000).unref();
  }

  /** Shows what the log says now, if that is news. */
  public async look(): Promise<void> {
    if (this.job === undefined) return;
    const args = trainingLogArgs(this.cluster, { ...this.job, container: this.container });
    try {
      const { stdout } = await promisify(execFile)("kubectl", args, PATIENCE);
      const progress = lastProgress(stdout);
      if (progress === undefined || progress === this.said) return;
      this.said = progress;
      await pulumi.log.info(progress, this.component, undefined, true);
    } catch (error) {
      await pulumi.log.debug(`no progress of the training: ${String(error)}`, this.component);
    }
  }
}
