import { GlobalAddress, Network, Router, RouterNat, Subnetwork } from "@pulumi/gcp/compute";
import { Connection } from "@pulumi/gcp/servicenetworking";
import * as pulumi from "@pulumi/pulumi";
import type { GkeSettings } from "../config/gcp";
import type { Place } from "../workloads/gcp";
import { subnetworkArgs } from "../workloads/gke";

/** Arguments of {@link GoogleNetwork}. */
export interface GoogleNetworkArgs {
  readonly place: Place;
  readonly gke: GkeSettings;
  /** Whether services that Google runs, such as Cloud SQL, get an address in it. */
  readonly services: boolean;
}

/** The network of the cluster: its nodes have private addresses, and reach others through a NAT. */
export class GoogleNetwork extends pulumi.ComponentResource {
  /** Id of the network; known once Google's services can be given an address in it. */
  public readonly network: pulumi.Output<string>;
  /** Id of the subnetwork of the nodes. */
  public readonly subnetwork: pulumi.Output<string>;

  public constructor(
    name: string,
    args: GoogleNetworkArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("llmops:index:GoogleNetwork", name, {}, opts);
    const { place, gke } = args;
    const parent = { parent: this };
    const network = new Network(
      `${name}-vpc`,
      { name: gke.name, autoCreateSubnetworks: false },
      parent,
    );
    this.subnetwork = new Subnetwork(
      `${name}-subnet`,
      subnetworkArgs(gke, place, network.id),
      parent,
    ).id;
    const router = new Router(
      `${name}-router`,
      { name: gke.name, region: place.region, network: network.id },
      parent,
    );
    new RouterNat(
      `${name}-nat`,
      {
        name: gke.name,
        router: router.name,
        region: place.region,
        natIpAllocateOption: "AUTO_ONLY",
        sourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES",
        logConfig: { enable: true, filter: "ERRORS_ONLY" },
      },
      parent,
    );
    this.network = args.services ? this.peering(name, gke.name, network.id) : network.id;
    this.registerOutputs({ network: this.network, subnetwork: this.subnetwork });
  }

  private peering(name: string, network: string, id: pulumi.Output<string>): pulumi.Output<string> {
    const range = new GlobalAddress(
      `${name}-services`,
      {
        name: `${network}-services`,
        purpose: "VPC_PEERING",
        addressType: "INTERNAL",
        prefixLength: 20,
        network: id,
      },
      { parent: this },
    );
    return new Connection(
      `${name}-services`,
      {
        network: id,
        service: "servicenetworking.googleapis.com",
        reservedPeeringRanges: [range.name],
      },
      { parent: this },
    ).network;
  }
}
