import { RepositoryIamMember } from "@pulumi/gcp/artifactregistry";
import { Cluster, NodePool } from "@pulumi/gcp/container";
import { IAMMember as ProjectMember } from "@pulumi/gcp/projects";
import { Account } from "@pulumi/gcp/serviceaccount";
import * as pulumi from "@pulumi/pulumi";
import type { GkeSettings } from "../config/gcp";
import type { Place } from "../workloads/gcp";
import { clusterArgs, gpuPoolArgs, kubeconfig, systemPoolArgs } from "../workloads/gke";

/** Arguments of {@link GkeCluster}. */
export interface GkeClusterArgs {
  readonly place: Place;
  readonly settings: GkeSettings;
  /** Name of the context in the kubeconfig. */
  readonly context: string;
  readonly network: pulumi.Input<string>;
  readonly subnetwork: pulumi.Input<string>;
  /** Name of the repository that the nodes pull images from, if the stack makes one. */
  readonly repository: pulumi.Input<string> | undefined;
}

/** A regional GKE cluster with private nodes, a pool for small pods, and pools with GPUs. */
export class GkeCluster extends pulumi.ComponentResource {
  /** Kubeconfig without a credential in it. */
  public readonly kubeconfig: pulumi.Output<string>;

  public constructor(name: string, args: GkeClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:GkeCluster", name, {}, opts);
    const { place, settings, network, subnetwork, context } = args;
    const { protect } = settings;
    const nodes = this.nodeAccount(`${name}-nodes`, args);
    const cluster = new Cluster(
      `${name}-control-plane`,
      clusterArgs(settings, place, { network, subnetwork }, nodes),
      {
        parent: this,
        protect,
      },
    );
    new NodePool(`${name}-system`, systemPoolArgs(settings, cluster.id, nodes), { parent: this });
    for (const pool of settings.gpuPools) {
      new NodePool(`${name}-${pool.name}`, gpuPoolArgs(pool, cluster.id, nodes), { parent: this });
    }
    this.kubeconfig = pulumi
      .all([cluster.endpoint, cluster.masterAuth.clusterCaCertificate])
      .apply(([endpoint, ca]) => kubeconfig(context, endpoint, ca));
    this.registerOutputs({ kubeconfig: this.kubeconfig });
  }

  /** The account of the nodes: writes logs and metrics, and pulls images. */
  private nodeAccount(
    name: string,
    { place, settings, repository }: GkeClusterArgs,
  ): pulumi.Output<string> {
    const account = new Account(
      name,
      { accountId: `${settings.name}-nodes`, displayName: `Nodes of ${settings.name}` },
      { parent: this },
    );
    const { member } = account;
    new ProjectMember(
      name,
      { project: place.project, role: "roles/container.defaultNodeServiceAccount", member },
      { parent: this },
    );
    if (repository !== undefined) {
      new RepositoryIamMember(
        name,
        { repository, location: place.region, role: "roles/artifactregistry.reader", member },
        { parent: this },
      );
    }
    return account.email;
  }
}
