import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { usesMlflowClaim } from "../config/mlflowRules";
import type { Settings } from "../config/schema";
import { hasIdentity } from "../config/usedSources";
import type { MlflowPodArgs } from "../workloads/mlflow";
import { mlflowSpec, trackingUri } from "../workloads/mlflow";
import { gcSpec } from "../workloads/mlflowGc";
import { NAMES, PORTS, labels, selectorLabels } from "../workloads/names";
import type { SecretNames } from "../workloads/pod";
import { serviceMetadata, serviceSpec } from "../workloads/service";
import { Postgres } from "./postgres";

/** Names of the claims that MLflow can use; the stack's settings say which it needs. */
export interface MlflowClaims {
  /** Database and artifacts. */
  readonly mlflow: pulumi.Input<string> | undefined;
  /** Data of Postgres in the cluster. */
  readonly mlflowDatabase: pulumi.Input<string> | undefined;
  /** Dumps of it. */
  readonly mlflowBackup: pulumi.Input<string> | undefined;
}

/** Arguments of {@link Mlflow}. */
export interface MlflowArgs {
  readonly namespace: pulumi.Input<string>;
  /** Settings of MLflow and the images, the namespace's name, which its allowed hosts are made of, and identities. */
  readonly settings: Pick<Settings, "mlflow" | "images" | "namespace" | "gcp" | "training">;
  /** Images by digest; that of Postgres is needed with backend `postgres`. */
  readonly images: {
    readonly mlflow: pulumi.Input<string>;
    readonly postgres: pulumi.Input<string> | undefined;
  };
  readonly claims: MlflowClaims;
  /** Names of the Secrets that exist, by the key read from them. */
  readonly secrets: SecretNames;
}

/**
 * MLflow: a Deployment and its Service; Postgres, where the backend is in the cluster; and the
 * CronJob of its garbage collection, where that is set.
 */
export class Mlflow extends pulumi.ComponentResource {
  /** Tracking URI inside the cluster. */
  public readonly trackingUri: string;

  public constructor(name: string, args: MlflowArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Mlflow", name, {}, opts);
    const { mlflow: settings, namespace } = args.settings;
    const dependsOn = this.postgres(args);
    const pod: MlflowPodArgs = {
      secrets: args.secrets,
      settings,
      namespace,
      pullSecrets: args.settings.images.pullSecrets,
      image: args.images.mlflow,
      claim: this.storeClaim(args),
      identity: hasIdentity(args.settings, "mlflow"),
      registersUrls: args.settings.training?.publish?.kind === "artifactory",
    };
    const metadata = {
      name: NAMES.mlflow,
      namespace: args.namespace,
      labels: labels("mlflow", NAMES.mlflow),
    };
    new k8s.apps.v1.Deployment(
      name,
      { metadata, spec: mlflowSpec(pod) },
      { parent: this, dependsOn },
    );
    new k8s.core.v1.Service(
      `${name}-service`,
      {
        metadata: serviceMetadata(metadata),
        spec: serviceSpec(settings.service, selectorLabels("mlflow", NAMES.mlflow), PORTS.mlflow),
      },
      { parent: this },
    );
    this.garbageCollection(`${name}-gc`, args, pod);
    this.trackingUri = trackingUri(namespace);
    this.registerOutputs({ trackingUri: this.trackingUri });
  }

  private garbageCollection(name: string, args: MlflowArgs, pod: MlflowPodArgs): void {
    const { gc } = pod.settings;
    if (gc === undefined) return;
    const object = NAMES.mlflowGc;
    const metadata = {
      name: object,
      namespace: args.namespace,
      labels: labels("mlflow", object),
    };
    new k8s.batch.v1.CronJob(name, { metadata, spec: gcSpec(pod, gc) }, { parent: this });
  }

  private storeClaim({ settings, claims }: MlflowArgs): pulumi.Input<string> | undefined {
    if (!usesMlflowClaim(settings)) return undefined;
    return required(
      claims.mlflow,
      "claims.mlflow",
      "SQLite and artifacts need the claim mlflow-pvc",
    );
  }

  private postgres({ settings, namespace, claims, ...args }: MlflowArgs): Postgres[] {
    const { backend, placement } = settings.mlflow;
    if (backend.kind !== "postgres") return [];
    const why = "Postgres needs the claim mlflow-database-pvc";
    return [
      new Postgres(
        NAMES.postgres,
        {
          namespace,
          settings: backend,
          placement,
          pullSecrets: settings.images.pullSecrets,
          image: required(args.images.postgres, "images.postgres", "Postgres needs an image"),
          claim: required(claims.mlflowDatabase, "claims.mlflowDatabase", why),
          backupClaim: claims.mlflowBackup,
          secret: required(
            args.secrets["MLFLOW_DB_PASSWORD"],
            "secrets",
            "Postgres needs the Secret with MLFLOW_DB_PASSWORD",
          ),
        },
        { parent: this },
      ),
    ];
  }
}

function required<T>(value: T | undefined, propertyPath: string, reason: string): T {
  if (value === undefined) throw new pulumi.InputPropertyError({ propertyPath, reason });
  return value;
}
