import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { TrainingFiles } from "../config/load";
import type { Settings } from "../config/schema";
import { isDownloadedData } from "../config/training";
import { hasIdentity } from "../config/usedSources";
import type { ModelClaims } from "../workloads/modelPieces";
import { NAMES, labels } from "../workloads/names";
import { SKIP_AWAIT } from "../workloads/pod";
import {
  RUNTIME_COMMIT_PATH,
  TRAINER_API,
  trainJobSpec,
  trainingRuntimeSpec,
} from "../workloads/trainJob";
import type { TrainingPodArgs } from "../workloads/training";
import { COMMIT_PATH, trainingContainer } from "../workloads/training";
import { failedJobAdvice, trainingJobLabels, trainingJobSpec } from "../workloads/trainingJob";
import { NODES_SERVICE, needsNodesService, nodesServiceSpec } from "../workloads/trainingNodes";
import { runId } from "../workloads/trainingRun";
import { TrainingProgress } from "./trainingProgress";

/** Arguments of {@link TrainingJob}. */
export interface TrainingJobArgs {
  readonly namespace: pulumi.Input<string>;
  /** Settings of the stack. */
  readonly settings: Pick<Settings, "images" | "gcp" | "cluster">;
  /** Settings of the training, its file and, if it is in the project, the data set. */
  readonly files: TrainingFiles;
  /** Images by digest; that of the training is part of the run's identity. */
  readonly images: { readonly training: pulumi.Output<string> };
  /** Names of the claims; `training-data-pvc` is needed with data of kind `volume`. */
  readonly claims: ModelClaims & { readonly trainingData: pulumi.Input<string> | undefined };
  /** Tracking URI of MLflow. */
  readonly trackingUri: string;
  /** Names of the Secrets that exist, by the key read from them. */
  readonly secrets: Readonly<Record<string, pulumi.Input<string>>>;
}

/** Metadata of the Job, or TrainJob. */
interface Metadata {
  readonly name: pulumi.Output<string>;
  readonly namespace: pulumi.Input<string>;
  readonly labels: Record<string, string>;
}

/**
 * The training run, as a Job or as a TrainJob of Kubeflow Trainer. It is named after the run id, which changes with the training file, the
 * data in the project or where it is downloaded from, the base model, the image and the `run`
 * label, and with nothing else: an unchanged stack never trains again. `pulumi up` waits until the
 * run has ended, unless `training.await` is false.
 */
export class TrainingJob extends pulumi.ComponentResource {
  /** The run id. */
  public readonly runId: pulumi.Output<string>;

  public constructor(name: string, args: TrainingJobArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:TrainingJob", name, {}, opts);
    const { files, namespace, images } = args;
    const { settings } = files;
    this.runId = images.training.apply((image) => runId({ ...files, image }));
    const metadata = {
      name: pulumi.interpolate`${NAMES.trainingJob}-${this.runId}`,
      namespace,
      labels: trainingJobLabels(settings),
    };
    const podArgs = this.podArgs(args);
    const pod = pulumi
      .all([this.runId, images.training])
      .apply(([id, image]) => ({ ...podArgs, runId: id, image }));
    if (needsNodesService(settings)) this.nodesService(namespace);
    if (settings.runner === "trainjob") this.trainJob(name, metadata, pod);
    else this.job(name, metadata, pod, args);
    this.registerOutputs({ runId: this.runId });
  }

  private job(
    name: string,
    metadata: Metadata,
    pod: pulumi.Output<TrainingPodArgs>,
    { files, settings: { cluster } }: TrainingJobArgs,
  ): void {
    const { timeoutMinutes, run, runner } = files.settings;
    const waits = files.settings.await ? {} : { annotations: SKIP_AWAIT };
    const progress = new TrainingProgress(name, this, cluster, trainingContainer({ runner }));
    new k8s.batch.v1.Job(
      name,
      { metadata: { ...metadata, ...waits }, spec: pod.apply(trainingJobSpec) },
      {
        parent: this,
        customTimeouts: { create: `${String(timeoutMinutes)}m` },
        hooks: { ...progress.hooks, onError: [adviceOnFailure(name, run, progress)] },
        // A Job is made anew under the name of its run: the one that has failed must be gone before.
        deleteBeforeReplace: true,
        ignoreChanges: [`spec.${COMMIT_PATH}`],
      },
    );
  }

  /** Kubeflow Trainer looks at a runtime once, when a run begins: another pod needs another runtime, and a new run of it. */
  private trainJob(name: string, metadata: Metadata, pod: pulumi.Output<TrainingPodArgs>): void {
    const runtime = new k8s.apiextensions.CustomResource(
      NAMES.trainingJob,
      {
        apiVersion: TRAINER_API,
        kind: "TrainingRuntime",
        metadata: { namespace: metadata.namespace, labels: metadata.labels },
        spec: pod.apply(trainingRuntimeSpec),
      },
      {
        parent: this,
        replaceOnChanges: ["spec"],
        ignoreChanges: [`spec.${RUNTIME_COMMIT_PATH}`],
      },
    );
    new k8s.apiextensions.CustomResource(
      name,
      {
        apiVersion: TRAINER_API,
        kind: "TrainJob",
        metadata,
        spec: runtime.metadata.name.apply(trainJobSpec),
      },
      { parent: this, replaceOnChanges: ["spec"], deleteBeforeReplace: true },
    );
  }

  private podArgs(args: TrainingJobArgs): Omit<TrainingPodArgs, "runId" | "image"> {
    const { settings, files, trackingUri, claims, secrets } = args;
    const { accelerator, pullSecrets, dcgmExporter } = settings.images;
    return {
      files,
      trackingUri,
      claims,
      secrets,
      accelerator,
      pullSecrets,
      dcgmExporter,
      identity: hasIdentity(settings, "training"),
      dataVolume: this.dataVolume(args),
    };
  }

  private nodesService(namespace: pulumi.Input<string>): void {
    const metadata = {
      name: NODES_SERVICE,
      namespace,
      labels: labels("training", NAMES.trainingJob),
    };
    new k8s.core.v1.Service(
      "training-nodes",
      { metadata, spec: nodesServiceSpec() },
      { parent: this },
    );
  }

  private dataVolume(args: TrainingJobArgs): k8s.types.input.core.v1.Volume | undefined {
    if (isDownloadedData(args.files.settings.data)) return undefined;
    const name = "train-data";
    if (args.files.data === undefined) {
      const claimName = args.claims.trainingData;
      if (claimName === undefined) {
        throw new pulumi.InputPropertyError({
          propertyPath: "claims.trainingData",
          reason: "training data of kind volume needs the claim training-data-pvc",
        });
      }
      return { name, persistentVolumeClaim: { claimName, readOnly: true } };
    }
    const data = new k8s.core.v1.ConfigMap(
      "training-data",
      { metadata: { namespace: args.namespace }, data: { ...args.files.data } },
      { parent: this },
    );
    return { name, configMap: { name: data.metadata.name } };
  }
}

/** Says how far it was and what to do when the Job has failed; it is never tried again here. */
function adviceOnFailure(name: string, run: string, progress: TrainingProgress): pulumi.ErrorHook {
  return new pulumi.ErrorHook(`${name}-failed`, async ({ urn }) => {
    await progress.look();
    if (!pulumi.runtime.isDryRun()) await pulumi.log.warn(failedJobAdvice(urn, run));
    return false;
  });
}
