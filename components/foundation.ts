import { Provider } from "@pulumi/gcp/provider";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/schema";
import type { SecretKey } from "../config/secrets";
import type { Place } from "../workloads/gcp";
import { accountAccess } from "../workloads/gcpAccess";
import { GoogleAccounts } from "./gcpAccounts";
import { GkeCluster } from "./gcpCluster";
import { MlflowDatabase } from "./gcpDatabase";
import { GoogleNetwork } from "./gcpNetwork";
import { GoogleStorage } from "./gcpStorage";

/** Arguments of {@link Foundation}. */
export interface FoundationArgs {
  readonly place: Place;
  readonly settings: Settings;
  /** The secrets of the stack, by key; of them, the password of MLflow's database user. */
  readonly secrets: Readonly<Partial<Record<SecretKey, pulumi.Output<string>>>>;
}

/** How the Kubernetes provider reaches the cluster. */
export interface ClusterAccess {
  readonly context: string;
  readonly kubeconfig: pulumi.Output<string>;
}

/** What the stack makes on Google Cloud before anything runs in the cluster. */
export class Foundation extends pulumi.ComponentResource {
  /** Access to the cluster that the stack makes; undefined where it uses an existing one. */
  public readonly cluster: ClusterAccess | undefined;
  /** What has to exist before an image is pushed or a model is published. */
  public readonly storage: GoogleStorage;

  public constructor(name: string, args: FoundationArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Foundation", name, {}, opts);
    const { place, settings } = args;
    const { artifactRegistry: registry, modelBucket: bucket, cloudSql } = settings.gcp ?? {};
    const provider = new Provider(
      `${name}-provider`,
      { ...place, defaultLabels: { "managed-by": "pulumi", "part-of": "llmops" } },
      { parent: this },
    );
    const inside = { parent: this, provider };
    this.storage = new GoogleStorage(`${name}-storage`, { place, registry, bucket }, inside);
    const { cluster, network } = this.makeCluster(`${name}-cluster`, args, inside);
    this.cluster = cluster && { context: settings.cluster.context, kubeconfig: cluster.kubeconfig };
    new GoogleAccounts(
      `${name}-accounts`,
      {
        place,
        accounts: accountAccess(settings, place),
        bucket: this.storage.bucket,
        instance: cloudSql?.name,
      },
      // The first cluster of a project makes the pool that the identities are in.
      { ...inside, dependsOn: cluster ? [cluster] : [] },
    );
    const password = args.secrets.MLFLOW_DB_PASSWORD;
    if (cloudSql !== undefined && network !== undefined && password !== undefined) {
      new MlflowDatabase(
        `${name}-mlflow`,
        { place, settings: cloudSql, network, password },
        inside,
      );
    }
    this.registerOutputs();
  }

  private makeCluster(
    name: string,
    { place, settings }: FoundationArgs,
    opts: pulumi.ComponentResourceOptions,
  ): { cluster?: GkeCluster; network: pulumi.Input<string> | undefined } {
    const { gke, cloudSql } = settings.gcp ?? {};
    if (gke === undefined) return { network: cloudSql?.network };
    const services = cloudSql !== undefined;
    const { network, subnetwork } = new GoogleNetwork(
      `${name}-network`,
      { place, gke, services },
      opts,
    );
    const { repository } = this.storage;
    const { context } = settings.cluster;
    const cluster = new GkeCluster(
      name,
      { place, settings: gke, context, network, subnetwork, repository },
      opts,
    );
    return { cluster, network };
  }
}
