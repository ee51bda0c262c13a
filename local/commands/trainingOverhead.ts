import { basename, dirname } from "node:path/posix";

import { Final, until } from "../cluster/poll.ts";
import { run } from "../toolchain/run.ts";

/** What is read and changed of a Job of the training image. */
export interface TrainingJob {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly template: PodTemplate };
}

interface PodTemplate {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
  readonly spec: {
    readonly containers: readonly TrainingContainer[];
    readonly [field: string]: unknown;
  };
}

interface TrainingContainer {
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly [field: string]: unknown;
}

interface Pod {
  readonly status: {
    readonly phase?: string;
    readonly containerStatuses?: readonly {
      readonly state: {
        readonly terminated?: { readonly startedAt: string; readonly finishedAt: string };
      };
    }[];
  };
}

/** Seconds of one and the same training. */
export interface Overhead {
  /** As the platform's Job, from the start of the container to the complete model. */
  readonly job: number;
  /** As `llamafactory-cli train` and `export`, which do the same work. */
  readonly bare: number;
}

const CONFIG = "llmops.dev/train-config";
const LABELS = { "app.kubernetes.io/component": "training", "llmops.dev/bench": "true" };
const ROUNDS = 2;
/** What the bare commands have no counterpart for. */
const WITHOUT = ["LLMOPS_GATE", "LLMOPS_PUBLISH"];

/** Where the training file says that the run's folder is. */
export function outputFolder(job: TrainingJob): string {
  const file = job.spec.template.metadata.annotations[CONFIG] ?? "";
  const found = /^output_dir: (\S+)$/m.exec(file)?.[1];
  if (found === undefined) throw new Error(`${job.metadata.name} has no training file`);
  return found;
}

/**
 * A Job that trains what another one has trained, as a run of its own.
 *
 * @param script - run by bash instead of the image's own entry.
 */
export function copyOf(job: TrainingJob, id: string, script?: string): object {
  const { template } = job.spec;
  const before = basename(outputFolder(job));
  const own = new Map<string, string>([
    ["RUN_ID", id],
    ["MLFLOW_EXPERIMENT_NAME", "bench"],
  ]);
  const annotations: Record<string, string> = {};
  for (const [key, text] of Object.entries(template.metadata.annotations)) {
    annotations[key] = text.replaceAll(before, id);
  }
  const containers = template.spec.containers.map((container) => ({
    ...container,
    ...(script === undefined ? {} : { command: ["bash", "-ec", script], args: [] }),
    env: container.env
      .filter(({ name }) => !WITHOUT.includes(name))
      .map((each) => (own.has(each.name) ? { name: each.name, value: own.get(each.name) } : each)),
  }));
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: id, namespace: job.metadata.namespace, labels: LABELS },
    spec: {
      backoffLimit: 0,
      template: {
        metadata: { labels: LABELS, annotations },
        spec: { ...template.spec, containers },
      },
    },
  };
}

/** The same training by LLaMA-Factory's own commands, with the files that the platform's Job `ours` has used. */
export function bareScript(runs: string, ours: string, bare: string): string {
  return [
    "llamafactory-cli train /app/config/train_config.yaml",
    `sed 's/${ours}/${bare}/g' ${runs}/${ours}/merge_config.yaml > /tmp/merge.yaml`,
    "llamafactory-cli export /tmp/merge.yaml",
  ].join("\n");
}

/** How the one pod of a Job has ended. `undefined`: not yet. @throws {Final} where it has failed. */
export function secondsOf(pods: string): number | undefined {
  const { items } = JSON.parse(pods) as { items: Pod[] };
  const { phase, containerStatuses } = items[0]?.status ?? {};
  if (phase === "Failed") throw new Final(`the training failed; kubectl describe pod says why`);
  const ended = containerStatuses?.[0]?.state.terminated;
  if (phase !== "Succeeded" || ended === undefined) return undefined;
  return (Date.parse(ended.finishedAt) - Date.parse(ended.startedAt)) / 1000;
}

/**
 * Trains again what the stack has trained, by turns as the platform's Job and by the bare commands, and gives the
 * shorter time of each. Nothing of it stays but runs in MLflow's experiment `bench`.
 */
export async function trainingOverhead(runId: string, env: NodeJS.ProcessEnv): Promise<Overhead> {
  const kubectl = (args: readonly string[], more: { readonly input?: string } = {}) =>
    run("kubectl", args, { what: "measuring the training", env, ...more });
  const name = `metadata.name=llama-factory-train-${runId}`;
  const every = ["get", "jobs", "--all-namespaces", "--field-selector", name, "-o", "json"];
  const [job] = (JSON.parse(await kubectl(every)) as { items: TrainingJob[] }).items;
  if (job === undefined)
    throw new Error(`There is no Job of run ${runId}.\n  what to do: make local`);
  const namespace = ["--namespace", job.metadata.namespace];
  const timed = async (id: string, script?: string): Promise<number> => {
    await kubectl(["create", "-f", "-"], { input: JSON.stringify(copyOf(job, id, script)) });
    const pods = [...namespace, "get", "pods", "-l", `job-name=${id}`, "-o", "json"];
    return until(`the end of ${id}`, 3600, async () => secondsOf(await kubectl(pods)), 1000);
  };
  const runs = dirname(outputFolder(job));
  const times: Overhead[] = [];
  try {
    for (let round = 1; round <= ROUNDS; round += 1) {
      const [ours, bare] = [`bench-job-${round}`, `bench-bare-${round}`];
      times.push({ job: await timed(ours), bare: await timed(bare, bareScript(runs, ours, bare)) });
    }
  } finally {
    await timed("bench-clean", `rm -rf ${runs}/bench-*`);
    await kubectl([...namespace, "delete", "jobs", "-l", "llmops.dev/bench"]);
  }
  return {
    job: Math.min(...times.map((each) => each.job)),
    bare: Math.min(...times.map((each) => each.bare)),
  };
}
