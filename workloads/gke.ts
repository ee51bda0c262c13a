import type { SubnetworkArgs } from "@pulumi/gcp/compute";
import type { ClusterArgs, NodePoolArgs } from "@pulumi/gcp/container";
import type { Input } from "@pulumi/pulumi";
import type { AutoProvisioningSettings, GkeSettings, GpuPoolSettings } from "../config/gcp";
import { SPOT_LABEL } from "../config/autoProvisioningRules";
import { gpuType } from "../config/gpuTypes";
import type { Place } from "./gcp";
import { workloadPool } from "./gcp";

/** Names of the subnetwork's secondary ranges. */
const RANGES = { pods: "pods", services: "services" } as const;

/** The arguments of the subnetwork of the nodes, which reach Google's APIs without a way out. */
export function subnetworkArgs(
  { name, network }: GkeSettings,
  { region }: Place,
  networkId: Input<string>,
): SubnetworkArgs {
  return {
    name,
    region,
    network: networkId,
    ipCidrRange: network.nodes,
    privateIpGoogleAccess: true,
    secondaryIpRanges: [
      { rangeName: RANGES.pods, ipCidrRange: network.pods },
      { rangeName: RANGES.services, ipCidrRange: network.services },
    ],
  };
}

/** The arguments of a regional cluster with private nodes. */
export function clusterArgs(
  settings: GkeSettings,
  place: Place,
  network: { readonly network: Input<string>; readonly subnetwork: Input<string> },
  serviceAccount: Input<string>,
): ClusterArgs {
  return {
    ...network,
    name: settings.name,
    location: place.region,
    ...(settings.zones === undefined ? {} : { nodeLocations: [...settings.zones] }),
    networkingMode: "VPC_NATIVE",
    ipAllocationPolicy: {
      clusterSecondaryRangeName: RANGES.pods,
      servicesSecondaryRangeName: RANGES.services,
    },
    datapathProvider: "ADVANCED_DATAPATH",
    privateClusterConfig: { enablePrivateNodes: true },
    masterAuthorizedNetworksConfig: {
      cidrBlocks: settings.authorizedNetworks.map((cidrBlock) => ({ cidrBlock })),
    },
    releaseChannel: { channel: settings.releaseChannel },
    maintenancePolicy: { dailyMaintenanceWindow: { startTime: "03:00" } },
    workloadIdentityConfig: { workloadPool: workloadPool(place) },
    addonsConfig: {
      gcsFuseCsiDriverConfig: { enabled: true },
      gcpFilestoreCsiDriverConfig: { enabled: true },
      gcePersistentDiskCsiDriverConfig: { enabled: true },
    },
    monitoringConfig: {
      enableComponents: ["SYSTEM_COMPONENTS", "DCGM"],
      managedPrometheus: { enabled: true },
    },
    ...(settings.autoProvisioning === undefined
      ? {}
      : autoProvisioningArgs(settings.autoProvisioning, serviceAccount)),
    costManagementConfig: { enabled: true },
    enableShieldedNodes: true,
    // Pools are resources of their own: this one is made and removed with the cluster.
    removeDefaultNodePool: true,
    initialNodeCount: 1,
    deletionProtection: settings.protect,
  };
}

type Node = NonNullable<NodePoolArgs["nodeConfig"]>;

/** What all nodes have: image streaming, their own account, and no way to it for pods. */
const nodes = (serviceAccount: Input<string>) => ({
  serviceAccount,
  oauthScopes: ["https://www.googleapis.com/auth/cloud-platform"],
  imageType: "COS_CONTAINERD",
  gcfsConfig: { enabled: true },
  gvnic: { enabled: true },
  workloadMetadataConfig: { mode: "GKE_METADATA" },
  shieldedInstanceConfig: { enableSecureBoot: true, enableIntegrityMonitoring: true },
  metadata: { "disable-legacy-endpoints": "true" },
});

const MANAGED = { autoRepair: true, autoUpgrade: true };

/** Upgrades of machines with GPUs, which are scarce: one is taken away before another is asked for. */
const GPU_UPGRADES = { maxSurge: 0, maxUnavailable: 1 };

/** Secure boot refuses the kernel module of the driver that GKE installs. */
const GPU_BOOT = { enableSecureBoot: false, enableIntegrityMonitoring: true };

/** The part of a cluster that makes pools for pods which wait for a GPU, as the pools of the stack are. */
function autoProvisioningArgs(
  { cpu, memoryGB, gpus, zones, diskGiB }: AutoProvisioningSettings,
  serviceAccount: Input<string>,
): Pick<ClusterArgs, "clusterAutoscaling" | "nodePoolDefaults"> {
  const { oauthScopes, imageType, gcfsConfig } = nodes(serviceAccount);
  return {
    clusterAutoscaling: {
      enabled: true,
      resourceLimits: [
        { resourceType: "cpu", maximum: cpu },
        { resourceType: "memory", maximum: memoryGB },
        ...gpus.map(({ gpu, max }) => ({ resourceType: gpu, maximum: max })),
      ],
      ...(zones === undefined ? {} : { autoProvisioningLocations: [...zones] }),
      autoProvisioningDefaults: {
        serviceAccount,
        oauthScopes,
        imageType,
        diskSize: diskGiB,
        management: MANAGED,
        upgradeSettings: { strategy: "SURGE", ...GPU_UPGRADES },
        shieldedInstanceConfig: GPU_BOOT,
      },
    },
    nodePoolDefaults: { nodeConfigDefaults: { gcfsConfig } },
  };
}

/** The arguments of the pool for pods without a GPU. */
export function systemPoolArgs(
  { systemPool }: GkeSettings,
  cluster: Input<string>,
  serviceAccount: Input<string>,
): NodePoolArgs {
  const nodeConfig: Node = { ...nodes(serviceAccount), machineType: systemPool.machineType };
  return {
    name: "system",
    cluster,
    initialNodeCount: 1,
    autoscaling: {
      totalMinNodeCount: systemPool.min,
      totalMaxNodeCount: systemPool.max,
      locationPolicy: "BALANCED",
    },
    management: MANAGED,
    upgradeSettings: { maxSurge: 1, maxUnavailable: 0 },
    nodeConfig,
  };
}

/** The arguments of a pool with GPUs, which starts with no machine. */
export function gpuPoolArgs(
  pool: GpuPoolSettings,
  cluster: Input<string>,
  serviceAccount: Input<string>,
): NodePoolArgs {
  const { machines, driver } = gpuType(pool.gpu);
  const taints = [
    { key: "nvidia.com/gpu", value: "present", effect: "NO_SCHEDULE" },
    ...(pool.spot ? [{ key: SPOT_LABEL, value: "true", effect: "NO_SCHEDULE" }] : []),
  ];
  return {
    name: pool.name,
    cluster,
    ...(pool.zones === undefined ? {} : { nodeLocations: [...pool.zones] }),
    initialNodeCount: 0,
    autoscaling: {
      totalMinNodeCount: pool.min,
      totalMaxNodeCount: pool.max,
      locationPolicy: "ANY",
    },
    management: MANAGED,
    upgradeSettings: GPU_UPGRADES,
    nodeConfig: {
      ...nodes(serviceAccount),
      shieldedInstanceConfig: GPU_BOOT,
      machineType: pool.machineType,
      spot: pool.spot,
      diskSizeGb: pool.diskGiB,
      guestAccelerators: [
        {
          type: pool.gpu,
          count: pool.gpus ?? machines[pool.machineType]?.[0] ?? 1,
          gpuDriverInstallationConfig: { gpuDriverVersion: driver },
        },
      ],
      taints,
    },
  };
}

/** A kubeconfig without a credential: the plugin of gcloud asks for a token of the user. */
export function kubeconfig(context: string, endpoint: string, ca: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": context,
    clusters: [
      {
        name: context,
        cluster: { server: `https://${endpoint}`, "certificate-authority-data": ca },
      },
    ],
    contexts: [{ name: context, context: { cluster: context, user: context } }],
    users: [
      {
        name: context,
        user: {
          exec: {
            apiVersion: "client.authentication.k8s.io/v1beta1",
            command: "gke-gcloud-auth-plugin",
            interactiveMode: "Never",
            provideClusterInfo: true,
          },
        },
      },
    ],
  });
}
