import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/schema";
import { mlflowSpec, trackingUri } from "../workloads/mlflow";
import { NAMES, PORTS, labels, selectorLabels } from "../workloads/names";
import { serviceMetadata, serviceSpec } from "../workloads/service";

/** Arguments of {@link Mlflow}. */
export interface MlflowArgs {
  readonly namespace: pulumi.Input<string>;
  /** Settings of MLflow, and the name of the namespace, which its allowed hosts are made of. */
  readonly settings: Pick<Settings, "mlflow" | "namespace">;
  /** Image by digest. */
  readonly image: pulumi.Input<string>;
  /** Claim that keeps the database and the artifacts. */
  readonly claim: pulumi.Input<string> | undefined;
  readonly pullSecrets: readonly string[];
}

/** MLflow: a Deployment of one pod and its Service. */
export class Mlflow extends pulumi.ComponentResource {
  /** Tracking URI inside the cluster. */
  public readonly trackingUri: string;

  public constructor(name: string, args: MlflowArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Mlflow", name, {}, opts);
    const { claim, settings } = args;
    if (claim === undefined) {
      const reason = "SQLite and artifacts need the claim mlflow-pvc";
      throw new pulumi.InputPropertyError({ propertyPath: "claim", reason });
    }
    const metadata = {
      name: NAMES.mlflow,
      namespace: args.namespace,
      labels: labels("mlflow", NAMES.mlflow),
    };
    new k8s.apps.v1.Deployment(
      name,
      { metadata, spec: mlflowSpec({ ...args, ...settings, settings: settings.mlflow, claim }) },
      { parent: this },
    );
    new k8s.core.v1.Service(
      `${name}-service`,
      {
        metadata: serviceMetadata(metadata),
        spec: serviceSpec(
          settings.mlflow.service,
          selectorLabels("mlflow", NAMES.mlflow),
          PORTS.mlflow,
        ),
      },
      { parent: this },
    );
    this.trackingUri = trackingUri(settings.namespace);
    this.registerOutputs({ trackingUri: this.trackingUri });
  }
}
