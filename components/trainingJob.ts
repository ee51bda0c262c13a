import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { TrainingFiles } from "../config/load";
import type { Settings } from "../config/schema";
import { isDownloadedData } from "../config/training";
import { hasIdentity } from "../config/usedSources";
import type { ModelClaims } from "../workloads/modelPieces";
import { NAMES, labels } from "../workloads/names";
import { SKIP_AWAIT } from "../workloads/pod";
import type { TrainingPodArgs } from "../workloads/training";
import { failedJobAdvice, trainingJobLabels, trainingJobSpec } from "../workloads/trainingJob";
import { NODES_SERVICE, nodesServiceSpec } from "../workloads/trainingNodes";
import { runId } from "../workloads/trainingRun";

/** Arguments of {@link TrainingJob}. */
export interface TrainingJobArgs {
  readonly namespace: pulumi.Input<string>;
  /** Settings of the stack. */
  readonly settings: Pick<Settings, "images" | "gcp">;
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

/**
 * The training run. Its Job is named after the run id, which changes with the training file, the
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
    const pod = this.podArgs(args);
    if (settings.nodes > 1) this.nodesService(namespace);
    new k8s.batch.v1.Job(
      name,
      {
        metadata: {
          name: pulumi.interpolate`${NAMES.trainingJob}-${this.runId}`,
          namespace,
          labels: trainingJobLabels(settings),
          ...(settings.await ? {} : { annotations: SKIP_AWAIT }),
        },
        spec: pulumi
          .all([this.runId, images.training])
          .apply(([id, image]) => trainingJobSpec({ ...pod, runId: id, image })),
      },
      {
        parent: this,
        customTimeouts: { create: `${String(settings.timeoutMinutes)}m` },
        hooks: { onError: [adviceOnFailure(name, settings.run)] },
        // A Job is made anew under the name of its run: the one that has failed must be gone before.
        deleteBeforeReplace: true,
      },
    );
    this.registerOutputs({ runId: this.runId });
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

/** Says what to do when the Job has failed; it is never tried again here. */
function adviceOnFailure(name: string, run: string): pulumi.ErrorHook {
  return new pulumi.ErrorHook(`${name}-failed`, async ({ urn }) => {
    if (!pulumi.runtime.isDryRun()) await pulumi.log.warn(failedJobAdvice(urn, run));
    return false;
  });
}
