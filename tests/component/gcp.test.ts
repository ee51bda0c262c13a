import * as pulumi from "@pulumi/pulumi";
import { Foundation } from "../../components/foundation";
import { googlePlace } from "../../workloads/gcp";
import { kubeconfig } from "../../workloads/gke";
import { summary } from "../support/component";
import type { Registered } from "../support/program";
import { isSecretEnvelope, runProgram } from "../support/program";
import { GKE, gcpTree, gkeTree, settingsOf } from "../support/settings";

/** Runs the foundation of a stack alone and returns what it makes, without the components. */
async function made(tree: Record<string, unknown>): Promise<readonly Registered[]> {
  const settings = settingsOf(tree);
  const place = googlePlace(settings);
  if (place === undefined) throw new Error("the tree makes something");
  const secrets = { MLFLOW_DB_PASSWORD: pulumi.secret("planted-password") };
  const { resources } = await runProgram({ stack: "test", settings: {} }, () => {
    new Foundation("gcp", { place, settings, secrets });
    return Promise.resolve({});
  });
  return resources.filter(({ type }) => type.startsWith("gcp:"));
}

function named(resources: readonly Registered[], kind: string, name: string): Registered {
  const found = resources.find((each) => each.type.endsWith(`:${kind}`) && each.name === name);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
}

const EMAIL = (role: string) => `llmops-${role}@acme-ml.iam.gserviceaccount.com`;
const ACCOUNTS = {
  createServiceAccounts: true,
  workloadIdentity: { training: EMAIL("training"), inference: EMAIL("inference") },
};

describe("registry and bucket", () => {
  const both = { artifactRegistry: { repository: "ml" }, modelBucket: { name: "acme-models" } };

  test("the registry keeps tags as they are and removes what has none", async () => {
    const resources = await made(gcpTree(both));
    expect(summary(resources)).toEqual([
      "Repository gcp-storage-images < gcp-storage",
      "Bucket gcp-storage-models < gcp-storage",
    ]);
    expect(named(resources, "Repository", "gcp-storage-images").inputs).toEqual({
      repositoryId: "ml",
      location: "europe-west4",
      format: "DOCKER",
      description: "Images of llmops",
      dockerConfig: { immutableTags: true },
      cleanupPolicyDryRun: false,
      cleanupPolicies: [
        { id: "keep-newest", action: "KEEP", mostRecentVersions: { keepCount: 10 } },
        {
          id: "delete-untagged",
          action: "DELETE",
          condition: { tagState: "UNTAGGED", olderThan: "2592000s" },
        },
      ],
    });
  });

  test("the bucket is closed to the public, and what is removed can come back", async () => {
    const { inputs } = named(await made(gcpTree(both)), "Bucket", "gcp-storage-models");
    expect(inputs).toEqual({
      name: "acme-models",
      location: "europe-west4",
      storageClass: "STANDARD",
      uniformBucketLevelAccess: true,
      publicAccessPrevention: "enforced",
      forceDestroy: false,
      versioning: { enabled: true },
      lifecycleRules: [
        {
          action: { type: "Delete" },
          condition: { daysSinceNoncurrentTime: 30, withState: "ARCHIVED" },
        },
        { action: { type: "AbortIncompleteMultipartUpload" }, condition: { age: 7 } },
      ],
      softDeletePolicy: { retentionDurationSeconds: 604_800 },
    });
  });

  test("a key of the stack's own encrypts the bucket", async () => {
    const kmsKey = "projects/acme-ml/locations/europe-west4/keyRings/r/cryptoKeys/k";
    const tree = gcpTree({ modelBucket: { name: "acme-models", kmsKey, versioning: false } });
    expect(named(await made(tree), "Bucket", "gcp-storage-models").inputs).toMatchObject({
      encryption: { defaultKmsKeyName: kmsKey },
      versioning: { enabled: false },
      lifecycleRules: [{ action: { type: "AbortIncompleteMultipartUpload" } }],
    });
  });

  test.each([true, false])("protect %s: both are kept accordingly", async (protect) => {
    const resources = await made(
      gcpTree({
        artifactRegistry: { repository: "ml", protect },
        modelBucket: { name: "acme-models", protect },
      }),
    );
    for (const { opts } of resources) {
      expect({ protect: opts.protect, retainOnDelete: opts.retainOnDelete }).toEqual({
        protect,
        retainOnDelete: protect,
      });
    }
  });
});

describe("service accounts", () => {
  const models = [
    { name: "m", source: { kind: "gcs", uri: "gs://acme-models/base/x", access: "mount" } },
  ];
  const training = (publish?: object) => ({
    configFile: "t.yaml",
    baseModel: { kind: "gcs", uri: "gs://acme-models/base/x", access: "download" },
    data: { kind: "files", path: "d" },
    ...(publish === undefined ? {} : { publish }),
  });
  const tree = (change: object) =>
    gcpTree({ ...ACCOUNTS, modelBucket: { name: "acme-models" } }, { models, ...change });
  const grants = (resources: readonly Registered[]) =>
    Object.fromEntries(
      resources
        .filter(({ type }) => /IAMMember$/i.test(type))
        .map(({ name, inputs }) => [name, inputs["role"]]),
    );

  test("each is what the pods of one Kubernetes service account act as, and nobody else", async () => {
    const resources = await made(tree({}));
    expect(named(resources, "Account", "gcp-accounts-inference").inputs).toEqual({
      accountId: "llmops-inference",
      displayName: "llmops inference",
    });
    const { inputs } = named(resources, "IAMMember", "gcp-accounts-inference-identity");
    expect(inputs).toMatchObject({
      role: "roles/iam.workloadIdentityUser",
      member: "serviceAccount:acme-ml.svc.id.goog[llmops/llmops-inference]",
    });
  });

  test.each<[string, object, Record<string, string>]>([
    ["nothing reads the bucket for training", {}, {}],
    [
      "training reads",
      { training: training() },
      { "gcp-accounts-training-bucket": "roles/storage.objectViewer" },
    ],
    [
      "training publishes",
      { training: training({ kind: "gcs", target: "gs://acme-models/runs" }) },
      { "gcp-accounts-training-bucket": "roles/storage.objectUser" },
    ],
    [
      "training publishes elsewhere",
      { training: training({ kind: "gcs", target: "gs://acme-models-2/runs" }) },
      { "gcp-accounts-training-bucket": "roles/storage.objectViewer" },
    ],
  ])("%s: no right that is not needed", async (_, change, expected) => {
    expect(grants(await made(tree(change)))).toEqual({
      "gcp-accounts-inference-identity": "roles/iam.workloadIdentityUser",
      "gcp-accounts-training-identity": "roles/iam.workloadIdentityUser",
      "gcp-accounts-inference-bucket": "roles/storage.objectViewer",
      ...expected,
    });
  });
});

describe("the cluster", () => {
  const spot = {
    name: "spot",
    gpu: "nvidia-tesla-t4",
    machineType: "n1-standard-8",
    gpus: 2,
    max: 3,
    spot: true,
    zones: ["europe-west4-b"],
  };

  test("comes with a network, an account of its nodes, and a pool for each kind of machine", async () => {
    const resources = await made(gkeTree({ gpuPools: [...GKE.gpuPools, spot] }));
    expect(summary(resources)).toEqual([
      "Network gcp-cluster-network-vpc < gcp-cluster-network",
      "Router gcp-cluster-network-router < gcp-cluster-network",
      "RouterNat gcp-cluster-network-nat < gcp-cluster-network",
      "Subnetwork gcp-cluster-network-subnet < gcp-cluster-network",
      "Cluster gcp-cluster-control-plane < gcp-cluster",
      "NodePool gcp-cluster-l4 < gcp-cluster",
      "NodePool gcp-cluster-spot < gcp-cluster",
      "NodePool gcp-cluster-system < gcp-cluster",
      "IAMMember gcp-cluster-nodes < gcp-cluster",
      "Account gcp-cluster-nodes < gcp-cluster",
    ]);
    expect(named(resources, "IAMMember", "gcp-cluster-nodes").inputs).toMatchObject({
      project: "acme-ml",
      role: "roles/container.defaultNodeServiceAccount",
    });
  });

  test("has private nodes, Workload Identity, mounted buckets, metrics and enforced policies", async () => {
    const { inputs, opts } = named(await made(gkeTree()), "Cluster", "gcp-cluster-control-plane");
    expect(inputs).toEqual({
      name: "llmops",
      location: "europe-west4",
      network: "gcp-cluster-network-vpc-id",
      subnetwork: "gcp-cluster-network-subnet-id",
      networkingMode: "VPC_NATIVE",
      ipAllocationPolicy: {
        clusterSecondaryRangeName: "pods",
        servicesSecondaryRangeName: "services",
      },
      datapathProvider: "ADVANCED_DATAPATH",
      privateClusterConfig: { enablePrivateNodes: true },
      masterAuthorizedNetworksConfig: { cidrBlocks: [{ cidrBlock: "198.51.100.0/24" }] },
      releaseChannel: { channel: "REGULAR" },
      maintenancePolicy: { dailyMaintenanceWindow: { startTime: "03:00" } },
      workloadIdentityConfig: { workloadPool: "acme-ml.svc.id.goog" },
      addonsConfig: {
        gcsFuseCsiDriverConfig: { enabled: true },
        gcpFilestoreCsiDriverConfig: { enabled: true },
        gcePersistentDiskCsiDriverConfig: { enabled: true },
      },
      monitoringConfig: {
        enableComponents: ["SYSTEM_COMPONENTS", "DCGM"],
        managedPrometheus: { enabled: true },
      },
      costManagementConfig: { enabled: true },
      enableShieldedNodes: true,
      removeDefaultNodePool: true,
      initialNodeCount: 1,
      deletionProtection: true,
    });
    expect(opts.protect).toBe(true);
  });

  test("protect: false lets go of it on both sides", async () => {
    const { inputs, opts } = named(
      await made(gkeTree({ protect: false })),
      "Cluster",
      "gcp-cluster-control-plane",
    );
    expect([inputs["deletionProtection"], opts.protect]).toEqual([false, false]);
  });

  test("a GPU pool starts with no machine and is kept free of other pods", async () => {
    const resources = await made(gkeTree({ gpuPools: [spot] }));
    expect(named(resources, "NodePool", "gcp-cluster-spot").inputs).toEqual({
      name: "spot",
      cluster: "gcp-cluster-control-plane-id",
      nodeLocations: ["europe-west4-b"],
      initialNodeCount: 0,
      autoscaling: { totalMinNodeCount: 0, totalMaxNodeCount: 3, locationPolicy: "ANY" },
      management: { autoRepair: true, autoUpgrade: true },
      upgradeSettings: { maxSurge: 0, maxUnavailable: 1 },
      nodeConfig: {
        serviceAccount: "llmops-nodes@acme-ml.iam.gserviceaccount.com",
        oauthScopes: ["https://www.googleapis.com/auth/cloud-platform"],
        imageType: "COS_CONTAINERD",
        gcfsConfig: { enabled: true },
        gvnic: { enabled: true },
        workloadMetadataConfig: { mode: "GKE_METADATA" },
        shieldedInstanceConfig: { enableSecureBoot: false, enableIntegrityMonitoring: true },
        metadata: { "disable-legacy-endpoints": "true" },
        machineType: "n1-standard-8",
        spot: true,
        diskSizeGb: 200,
        guestAccelerators: [
          {
            type: "nvidia-tesla-t4",
            count: 2,
            gpuDriverInstallationConfig: { gpuDriverVersion: "LATEST" },
          },
        ],
        taints: [
          { key: "nvidia.com/gpu", value: "present", effect: "NO_SCHEDULE" },
          { key: "cloud.google.com/gke-spot", value: "true", effect: "NO_SCHEDULE" },
        ],
      },
    });
  });

  test("with auto-provisioning, what GKE makes is within limits, and as a pool of the stack would be", async () => {
    const gpus = [{ gpu: "nvidia-l4", max: 8 }];
    const zones = ["europe-west4-b"];
    const autoProvisioning = { cpu: 128, memoryGB: 512, gpus, zones };
    const resources = await made(gkeTree({ gpuPools: [], autoProvisioning }));
    const pools = resources.filter(({ type }) => type.endsWith(":NodePool"));
    expect(pools.map(({ name }) => name)).toEqual(["gcp-cluster-system"]);
    const { inputs } = named(resources, "Cluster", "gcp-cluster-control-plane");
    expect(inputs["clusterAutoscaling"]).toEqual({
      enabled: true,
      resourceLimits: [
        { resourceType: "cpu", maximum: 128 },
        { resourceType: "memory", maximum: 512 },
        { resourceType: "nvidia-l4", maximum: 8 },
      ],
      autoProvisioningLocations: ["europe-west4-b"],
      autoProvisioningDefaults: {
        serviceAccount: "llmops-nodes@acme-ml.iam.gserviceaccount.com",
        oauthScopes: ["https://www.googleapis.com/auth/cloud-platform"],
        imageType: "COS_CONTAINERD",
        diskSize: 200,
        management: { autoRepair: true, autoUpgrade: true },
        upgradeSettings: { strategy: "SURGE", maxSurge: 0, maxUnavailable: 1 },
        shieldedInstanceConfig: { enableSecureBoot: false, enableIntegrityMonitoring: true },
      },
    });
    expect(inputs["nodePoolDefaults"]).toEqual({
      nodeConfigDefaults: { gcfsConfig: { enabled: true } },
    });
  });

  test("its nodes pull from the registry that the stack makes", async () => {
    const tree = gkeTree();
    const gcp = { ...(tree["gcp"] as object), artifactRegistry: { repository: "ml" } };
    const { inputs } = named(
      await made({ ...tree, gcp }),
      "RepositoryIamMember",
      "gcp-cluster-nodes",
    );
    expect(inputs).toMatchObject({
      location: "europe-west4",
      role: "roles/artifactregistry.reader",
    });
  });

  test("its kubeconfig holds an address and no credential", () => {
    const config = JSON.parse(kubeconfig("made", "192.0.2.1", "Y2E=")) as {
      users: { user: object }[];
    };
    expect(config).toMatchObject({
      "current-context": "made",
      clusters: [
        { cluster: { server: "https://192.0.2.1", "certificate-authority-data": "Y2E=" } },
      ],
    });
    expect(config.users.map(({ user }) => Object.keys(user))).toEqual([["exec"]]);
  });
});

describe("MLflow's database", () => {
  const tree = gkeTree();
  const gcp = {
    ...(tree["gcp"] as object),
    createServiceAccounts: true,
    workloadIdentity: { mlflow: EMAIL("mlflow") },
    cloudSql: { name: "mlflow", highAvailability: true },
  };

  test("has a private address, backups, and a password that nobody reads", async () => {
    const resources = await made({ ...tree, gcp });
    const instance = named(resources, "DatabaseInstance", "gcp-mlflow-instance");
    expect(instance.inputs).toEqual({
      name: "mlflow",
      region: "europe-west4",
      databaseVersion: "POSTGRES_17",
      deletionProtection: true,
      settings: {
        tier: "db-g1-small",
        edition: "ENTERPRISE",
        availabilityType: "REGIONAL",
        diskType: "PD_SSD",
        diskAutoresize: true,
        deletionProtectionEnabled: true,
        ipConfiguration: {
          ipv4Enabled: false,
          privateNetwork: "gcp-cluster-network-vpc-id",
          sslMode: "ENCRYPTED_ONLY",
        },
        backupConfiguration: {
          enabled: true,
          startTime: "02:00",
          pointInTimeRecoveryEnabled: true,
          transactionLogRetentionDays: 7,
          backupRetentionSettings: { retainedBackups: 7, retentionUnit: "COUNT" },
        },
      },
    });
    expect(instance.opts.protect).toBe(true);
    const { inputs } = named(resources, "User", "gcp-mlflow-user");
    expect(inputs).toMatchObject({ name: "mlflow", instance: "mlflow", deletionPolicy: "ABANDON" });
    expect(isSecretEnvelope(inputs["password"])).toBe(true);
    expect(named(resources, "Connection", "gcp-cluster-network-services").inputs).toMatchObject({
      service: "servicenetworking.googleapis.com",
      reservedPeeringRanges: ["llmops-services"],
    });
  });

  test("MLflow may connect to this instance, and to no other of the project", async () => {
    const { inputs } = named(
      await made({ ...tree, gcp }),
      "IAMMember",
      "gcp-accounts-mlflow-database",
    );
    expect(inputs).toMatchObject({
      role: "roles/cloudsql.client",
      condition: {
        title: "only-mlflow",
        expression:
          'resource.name == "projects/acme-ml/instances/mlflow" && resource.service == "sqladmin.googleapis.com"',
      },
    });
  });
});
