import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/schema";
import type { ClaimSettings } from "../config/storage";
import { NAMES } from "../workloads/names";
import { SKIP_AWAIT } from "../workloads/pod";
import { adoption, claimSpec, hostPathVolumeSpec } from "../workloads/storage";

/** Arguments of {@link ModelStorage}. */
export interface ModelStorageArgs {
  readonly namespace: pulumi.Input<string>;
  /** The claims, and the namespace's name, which is part of the id of one that is taken over. */
  readonly settings: Pick<Settings, "namespace" | "storage">;
}

/**
 * The claims and, for hostPath, their volumes. `protect` and `retainOnDelete` follow the settings:
 * a protected claim survives `pulumi destroy`.
 */
export class ModelStorage extends pulumi.ComponentResource {
  /** Name of `model-output-pvc`. */
  public readonly modelOutput: pulumi.Output<string>;
  /** Name of `training-data-pvc`, if the stack has one. */
  public readonly trainingData: pulumi.Output<string> | undefined;
  /** Name of `mlflow-pvc`, if the stack has one. */
  public readonly mlflow: pulumi.Output<string> | undefined;
  /** Name of `mlflow-database-pvc`, if the stack has one. */
  public readonly mlflowDatabase: pulumi.Output<string> | undefined;
  /** Name of `mlflow-backup-pvc`, if the stack has one. */
  public readonly mlflowBackup: pulumi.Output<string> | undefined;
  /** Name of `hub-cache-pvc`, if the stack has one. */
  public readonly hubCache: pulumi.Output<string> | undefined;
  /** Name of `compile-cache-pvc`, if the stack has one. */
  public readonly compileCache: pulumi.Output<string> | undefined;

  public constructor(name: string, args: ModelStorageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:ModelStorage", name, {}, opts);
    const claim = (base: string, volumeBase: string, settings: ClaimSettings) =>
      this.claim(base, volumeBase, settings, args);
    const { modelOutput, trainingData, mlflow, mlflowDatabase, mlflowBackup } =
      args.settings.storage;
    const { hubCache, compileCache } = args.settings.storage;
    this.modelOutput = claim(NAMES.modelOutput, "llama-model-pv", modelOutput);
    this.trainingData =
      trainingData && claim(NAMES.trainingData, "llama-training-data-pv", trainingData);
    this.mlflow = mlflow && claim(NAMES.mlflowClaim, "llama-mlflow-pv", mlflow);
    this.mlflowDatabase =
      mlflowDatabase &&
      claim(NAMES.mlflowDatabaseClaim, "llama-mlflow-database-pv", mlflowDatabase);
    this.mlflowBackup =
      mlflowBackup && claim(NAMES.mlflowBackupClaim, "llama-mlflow-backup-pv", mlflowBackup);
    this.hubCache = hubCache && claim(NAMES.hubCache, "llama-hub-cache-pv", hubCache);
    this.compileCache =
      compileCache && claim(NAMES.compileCache, "llama-compile-cache-pv", compileCache);
    this.registerOutputs({
      modelOutput: this.modelOutput,
      trainingData: this.trainingData,
      mlflow: this.mlflow,
      mlflowDatabase: this.mlflowDatabase,
      mlflowBackup: this.mlflowBackup,
      hubCache: this.hubCache,
      compileCache: this.compileCache,
    });
  }

  private claim(
    base: string,
    volumeBase: string,
    settings: ClaimSettings,
    { namespace, settings: { namespace: namespaceName } }: ModelStorageArgs,
  ): pulumi.Output<string> {
    const { volume, protect } = settings;
    const opts = { parent: this, protect, retainOnDelete: protect };
    if (volume.kind === "existingClaim") {
      const { name, adopt } = volume;
      if (!adopt) return pulumi.output(name);
      return new k8s.core.v1.PersistentVolumeClaim(
        base,
        { metadata: { name, namespace } },
        { ...opts, ...adoption(`${namespaceName}/${name}`) },
      ).metadata.name;
    }
    // PersistentVolumes belong to the whole cluster: the suffix keeps two stacks apart.
    const volumeName =
      volume.kind === "hostPath"
        ? new k8s.core.v1.PersistentVolume(
            volumeBase,
            { spec: hostPathVolumeSpec(settings, volume) },
            opts,
          ).metadata.name
        : undefined;
    return new k8s.core.v1.PersistentVolumeClaim(
      base,
      {
        metadata: { name: base, namespace, annotations: awaitAnnotations(settings) },
        spec: claimSpec(settings, volumeName),
      },
      opts,
    ).metadata.name;
  }
}

/** A class may bind only once a pod is there, so `up` does not wait for such a claim. */
function awaitAnnotations({ volume }: ClaimSettings): Readonly<Record<string, string>> {
  return volume.kind === "storageClass" ? SKIP_AWAIT : {};
}
