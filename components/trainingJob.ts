import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { TrainingFiles } from "../config/load";
import type { ModelClaims } from "../workloads/modelPieces";
import { NAMES, labels } from "../workloads/names";
import { SKIP_AWAIT } from "../workloads/pod";
import { trainingJobLabels, trainingJobSpec } from "../workloads/trainingJob";
import { NODES_SERVICE, nodesServiceSpec } from "../workloads/trainingNodes";
import { runId } from "../workloads/trainingRun";

/** Arguments of {@link TrainingJob}. */
export interface TrainingJobArgs {
  readonly namespace: pulumi.Input<string>;
  /** Settings, training file and, if it is in the project, the data set. */
  readonly files: TrainingFiles;
  /** Image by digest: part of the run's identity. */
  readonly image: pulumi.Output<string>;
  readonly accelerator: "cuda" | "cpu";
  readonly claims: ModelClaims;
  /** Name of `training-data-pvc`; needed with data of kind `volume`. */
  readonly dataClaim: pulumi.Input<string> | undefined;
  /** Tracking URI of MLflow. */
  readonly trackingUri: string;
  /** Names of the Secrets that exist, by the key read from them. */
  readonly secrets: Readonly<Record<string, pulumi.Input<string>>>;
  /** Whether the pod acts as a Google service account. */
  readonly identity: boolean;
  /** Image of dcgm-exporter; used where the settings want it. */
  readonly dcgmExporter?: string | undefined;
  readonly pullSecrets: readonly string[];
}

/**
 * The training run. Its Job is named after the run id, which changes with the training file, the
 * data in the project, the base model, the image and the `run` label, and with nothing else: an
 * unchanged stack never trains again. `pulumi up` waits until the run has ended, unless
 * `training.await` is false.
 */
export class TrainingJob extends pulumi.ComponentResource {
  /** The run id. */
  public readonly runId: pulumi.Output<string>;

  public constructor(name: string, args: TrainingJobArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:TrainingJob", name, {}, opts);
    const { files, namespace } = args;
    const { settings } = files;
    this.runId = args.image.apply((image) => runId({ ...files, image }));
    const dataVolume = this.dataVolume(args);
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
          .all([this.runId, args.image])
          .apply(([id, image]) => trainingJobSpec({ ...args, runId: id, image, dataVolume })),
      },
      { parent: this, customTimeouts: { create: `${String(settings.timeoutMinutes)}m` } },
    );
    this.registerOutputs({ runId: this.runId });
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

  private dataVolume(args: TrainingJobArgs): k8s.types.input.core.v1.Volume {
    const name = "train-data";
    if (args.files.data === undefined) {
      if (args.dataClaim === undefined) {
        throw new pulumi.InputPropertyError({
          propertyPath: "dataClaim",
          reason: "training data of kind volume needs the claim training-data-pvc",
        });
      }
      return { name, persistentVolumeClaim: { claimName: args.dataClaim, readOnly: true } };
    }
    const data = new k8s.core.v1.ConfigMap(
      "training-data",
      { metadata: { namespace: args.namespace }, data: { ...args.files.data } },
      { parent: this },
    );
    return { name, configMap: { name: data.metadata.name } };
  }
}
