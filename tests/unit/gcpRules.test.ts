import { gcpFaults } from "../../config/gcpRules";
import { gkeFaults } from "../../config/gkeRules";
import { settingsSchema } from "../../config/schema";
import { secretFaults } from "../../config/secrets";
import { GKE, IDENTITY, gcpTree, gkeTree, settingsOf, validTree } from "../support/settings";

const gcp = (tree: Record<string, unknown>) => gcpFaults(settingsOf(tree));
const gke = (tree: Record<string, unknown>) => gkeFaults(settingsOf(tree));
const [L4] = GKE.gpuPools;
const pool = (change: object) => gkeTree({ gpuPools: [{ ...L4, ...change }] });

const REGISTRY = { artifactRegistry: { repository: "ml" } };
const HOST = "europe-west4-docker.pkg.dev/acme-ml/ml";
const at = (registry: string) => ({ images: { accelerator: "cpu", registry, baseImage: "d:1" } });

test.each([
  ["nothing", validTree()],
  ["accounts that are there already", { ...validTree(), ...IDENTITY }],
  ["a bucket", gcpTree({ modelBucket: { name: "acme-models" } })],
  ["a registry", gcpTree(REGISTRY, at(HOST))],
  ["a registry's folder", gcpTree(REGISTRY, at(`${HOST}/team`))],
  ["a cluster", gkeTree()],
])("%s has no fault", (_, tree) => {
  expect([...gcp(tree), ...gke(tree)]).toEqual([]);
});

describe("what is made on Google Cloud", () => {
  test("a project and a region are asked for, and told why", () => {
    const tree = { ...validTree(), gcp: { modelBucket: { name: "acme-models" } } };
    expect(gcp(tree)).toEqual([
      {
        key: "gcp.project",
        got: "nothing",
        allowed: "a project, since gcp.modelBucket makes something in it",
        fix: "pulumi config set --path 'llmops:gcp.project' '<project id>'",
      },
      {
        key: "gcp.region",
        got: "nothing",
        allowed: "a region, since gcp.modelBucket makes something in it",
        fix: "pulumi config set --path 'llmops:gcp.region' 'europe-west4'",
      },
    ]);
  });

  test("images are pushed to the registry that is made", () => {
    expect(gcp(gcpTree(REGISTRY))).toEqual([
      {
        key: "images.registry",
        got: '"registry.test:5000/ml", which is not in gcp.artifactRegistry',
        allowed: `${HOST}, or a folder below it`,
        fix: `pulumi config set --path 'llmops:images.registry' '${HOST}'`,
      },
    ]);
  });

  test.each([
    ["another project's", "train@other.iam.gserviceaccount.com"],
    ["too short an id", "ab@acme-ml.iam.gserviceaccount.com"],
    ["too long an id", `${"a".repeat(31)}@acme-ml.iam.gserviceaccount.com`],
  ])("an account that cannot be made is refused: %s", (_, training) => {
    const tree = gcpTree({ createServiceAccounts: true, workloadIdentity: { training } });
    expect(gcp(tree)).toEqual([
      {
        key: "gcp.workloadIdentity.training",
        got: `"${training}" with gcp.createServiceAccounts`,
        allowed:
          "<id>@acme-ml.iam.gserviceaccount.com, the id with 6 to 30 letters, digits and '-'",
        fix: "pulumi config set --path 'llmops:gcp.workloadIdentity.training' 'llmops-training@acme-ml.iam.gserviceaccount.com'",
      },
    ]);
  });

  test("each role has an account of its own, and there is one at least", () => {
    const shared = "llmops-all@acme-ml.iam.gserviceaccount.com";
    const workloadIdentity = { training: shared, inference: shared };
    expect(gcp(gcpTree({ createServiceAccounts: true, workloadIdentity }))).toEqual([
      {
        key: "gcp.workloadIdentity.inference",
        got: `"${shared}", the account of gcp.workloadIdentity.training too`,
        allowed: "an account of its own",
        fix: "pulumi config set --path 'llmops:gcp.workloadIdentity.inference' 'llmops-inference@acme-ml.iam.gserviceaccount.com'",
      },
    ]);
    expect(gcp(gcpTree({ createServiceAccounts: true }))).toMatchObject([
      { key: "gcp.createServiceAccounts", got: "true without gcp.workloadIdentity" },
    ]);
  });

  test("the key of a bucket is where the bucket is", () => {
    const kmsKey = "projects/acme-ml/locations/us-central1/keyRings/r/cryptoKeys/k";
    expect(gcp(gcpTree({ modelBucket: { name: "acme-models", kmsKey } }))).toEqual([
      {
        key: "gcp.modelBucket.kmsKey",
        got: "a key in us-central1",
        allowed: "a key in europe-west4, where the bucket is",
        fix: "pulumi config rm --path 'llmops:gcp.modelBucket.kmsKey'",
      },
    ]);
  });

  test("a database is in the network of the cluster, and its password is asked for", () => {
    const network = "projects/acme-ml/global/networks/prod";
    const key = "gcp.cloudSql.network";
    expect(gcp(gcpTree({ cloudSql: { name: "mlflow" } }))).toMatchObject([
      { key, got: "nothing, and no gcp.gke" },
    ]);
    expect(gcp(gcpTree({ cloudSql: { name: "mlflow", network } }))).toEqual([]);
    expect(gcp(gcpTree({ gke: GKE, cloudSql: { name: "mlflow", network } }))).toMatchObject([
      { key, allowed: "not set: gcp.gke makes the network" },
    ]);
    const tree = settingsOf(gcpTree({ cloudSql: { name: "mlflow", network } }));
    expect(secretFaults(tree, () => ({ isSet: false, isSecret: false }))).toEqual([
      {
        key: "MLFLOW_DB_PASSWORD",
        got: "nothing",
        allowed: "a secret, since gcp.cloudSql makes a user with it",
        fix: "pulumi config set --secret MLFLOW_DB_PASSWORD",
      },
    ]);
  });
});

describe("the cluster that is made", () => {
  const key = "gcp.gke.gpuPools[0]";

  test("a GPU on a machine that has another one is refused, with the machines that have it", () => {
    const machineType = "a2-highgpu-1g";
    expect(gke(pool({ machineType }))).toContainEqual({
      key: `${key}.machineType`,
      got: '"a2-highgpu-1g", which has nvidia-tesla-a100',
      allowed:
        "a machine with nvidia-l4: g2-standard-4, g2-standard-8, g2-standard-12, g2-standard-16, g2-standard-24, g2-standard-32, g2-standard-48, g2-standard-96",
      fix: `pulumi config set --path 'llmops:${key}.machineType' 'g2-standard-4'`,
    });
  });

  test("a machine that no GPU is in is refused", () => {
    expect(gke(pool({ machineType: "e2-standard-4" }))).toContainEqual(
      expect.objectContaining({ key: `${key}.machineType`, got: '"e2-standard-4"' }),
    );
  });

  test.each([
    [{ gpus: 2 }, "2", "1 with g2-standard-8", "1"],
    [
      { gpu: "nvidia-tesla-t4", machineType: "n1-standard-8" },
      "nothing",
      "1 | 2 | 4 with n1-standard-8",
      "1",
    ],
    [
      { gpu: "nvidia-tesla-t4", machineType: "n1-standard-96", gpus: 2 },
      "2",
      "4 with n1-standard-96",
      "4",
    ],
  ])("a number of GPUs that a machine cannot have: %j", (change, got, allowed, right) => {
    expect(gke(pool(change))).toEqual([
      {
        key: `${key}.gpus`,
        got,
        allowed,
        fix: `pulumi config set --path 'llmops:${key}.gpus' '${right}'`,
      },
    ]);
  });

  test("a machine that is sold as Spot only", () => {
    expect(gke(pool({ gpu: "nvidia-h100-80gb", machineType: "a3-highgpu-1g" }))).toEqual([
      {
        key: `${key}.spot`,
        got: "false",
        allowed: "true: a3-highgpu-1g is not sold on demand",
        fix: `pulumi config set --path 'llmops:${key}.spot' 'true'`,
      },
    ]);
  });

  test.each<[string, object, object]>([
    [
      "min above max",
      { gpuPools: [{ ...L4, min: 3 }] },
      { key: `${key}.max`, got: "min 3, max 2", allowed: "min at most max" },
    ],
    [
      "two pools of one name",
      { gpuPools: [L4, L4] },
      { key: "gcp.gke.gpuPools[1].name", got: '"l4", the name of another pool too' },
    ],
    [
      "a pool with the name of the system's",
      { gpuPools: [{ ...L4, name: "system" }] },
      { key: `${key}.name`, got: '"system", the name of another pool too' },
    ],
    [
      "a zone of another region",
      { zones: ["us-central1-a"] },
      { key: "gcp.gke.zones[0]", got: '"us-central1-a"', allowed: "a zone of europe-west4" },
    ],
    [
      "system pool",
      { systemPool: { min: 4 } },
      { key: "gcp.gke.systemPool.max", got: "min 4, max 3" },
    ],
  ])("%s", (_, change, fault) => {
    expect(gke(gkeTree(change))).toMatchObject([fault]);
  });

  describe("pods that would wait forever", () => {
    const model = (change: object) => ({
      models: [{ name: "m", source: { kind: "volume", path: "x" }, ...change }],
    });
    const selector = (nodeSelector: object, tolerations: object[] = []) => ({
      placement: { nodeSelector, tolerations },
    });
    const spot = { gpuPools: [{ ...L4, spot: true }] };
    const tolerated = [{ key: "cloud.google.com/gke-spot", operator: "Exists" }];

    test("more GPUs than a machine has", () => {
      expect(gke(gkeTree({}, model({ resources: { gpu: 2 } })))).toEqual([
        {
          key: "models[0].resources.gpu",
          got: "2, which no machine of gcp.gke.gpuPools can give",
          allowed:
            "a pool with as many GPUs; for a Spot pool also a toleration of cloud.google.com/gke-spot",
          fix: "pulumi config set --path 'llmops:gcp.gke.gpuPools[1].machineType' '<machine type>'",
        },
      ]);
    });

    test.each<[string, object, object, number]>([
      ["a GPU of no pool", {}, selector({ "cloud.google.com/gke-accelerator": "nvidia-b200" }), 1],
      ["the GPU of the pool", {}, selector({ "cloud.google.com/gke-accelerator": "nvidia-l4" }), 0],
      ["a Spot pool, not tolerated", spot, {}, 1],
      ["a Spot pool, tolerated", spot, selector({}, tolerated), 0],
      [
        "Spot asked for, and there is none",
        {},
        selector({ "cloud.google.com/gke-spot": "true" }),
        1,
      ],
    ])("%s", (_, change, placed, faults) => {
      expect(gke(gkeTree(change, model(placed)))).toHaveLength(faults);
    });
  });

  describe("node auto-provisioning", () => {
    const ACCELERATOR = "cloud.google.com/gke-accelerator";
    const DRIVER = "cloud.google.com/gke-gpu-driver-version";
    const SPOT = "cloud.google.com/gke-spot";
    const gpus = [
      { gpu: "nvidia-l4", max: 4 },
      { gpu: "nvidia-b200", max: 64 },
    ];
    const limits = { cpu: 200, memoryGB: 800, gpus };
    const L4_LATEST = { [ACCELERATOR]: "nvidia-l4", [DRIVER]: "latest" };
    const made = (nodeSelector: object, gpu = 1, placement: object = {}, gke_: object = {}) =>
      gke(
        gkeTree(
          { gpuPools: [], autoProvisioning: limits, ...gke_ },
          {
            models: [
              {
                name: "m",
                source: { kind: "volume", path: "x" },
                resources: { gpu },
                placement: { nodeSelector, ...placement },
              },
            ],
          },
        ),
      );
    const selector = (label: string) => `models[0].placement.nodeSelector["${label}"]`;

    test.each<[string, object, number, object]>([
      ["a pod that says which GPU and which driver", L4_LATEST, 4, {}],
      ["a pod for which a pool has room", {}, 1, { gpuPools: [L4] }],
    ])("%s gets a node", (_, nodeSelector, gpu, change) => {
      expect(made(nodeSelector, gpu, {}, change)).toEqual([]);
    });

    test("a pod that names no GPU, or one without a limit, is told those that have one", () => {
      const fault = {
        key: selector(ACCELERATOR),
        got: "nothing, and no pool that fits",
        allowed: "a GPU of gcp.gke.autoProvisioning.gpus: nvidia-l4 | nvidia-b200",
        fix: `pulumi config set --path 'llmops:${selector(ACCELERATOR)}' 'nvidia-l4'`,
      };
      expect(made({})).toEqual([fault]);
      expect(made({ [ACCELERATOR]: "nvidia-tesla-t4" })).toEqual([
        { ...fault, got: '"nvidia-tesla-t4"' },
      ]);
    });

    test.each<[string, string, number, string]>([
      ["the limit", "nvidia-l4", 5, "at most 4: gcp.gke.autoProvisioning.gpus"],
      ["any machine", "nvidia-b200", 9, "at most 8: no machine has more"],
    ])("more GPUs than %s", (_, type, gpu, allowed) => {
      expect(made({ ...L4_LATEST, [ACCELERATOR]: type }, gpu)).toMatchObject([
        { key: "models[0].resources.gpu", got: `${String(gpu)} of type ${type}`, allowed },
      ]);
    });

    test("a driver that may be too old for CUDA 13", () => {
      const fault = {
        key: selector(DRIVER),
        allowed: "latest: the images hold a CUDA that the default driver may be too old for",
        fix: `pulumi config set --path 'llmops:${selector(DRIVER)}' 'latest'`,
      };
      expect(made({ [ACCELERATOR]: "nvidia-l4" })).toEqual([{ ...fault, got: "nothing" }]);
      expect(made({ ...L4_LATEST, [DRIVER]: "default" })).toEqual([{ ...fault, got: '"default"' }]);
    });

    test("Spot, asked for and not tolerated", () => {
      const nodeSelector = { ...L4_LATEST, [SPOT]: "true" };
      const key = "llmops:models[0].placement.tolerations[0]";
      expect(made(nodeSelector)).toEqual([
        {
          key: "models[0].placement.tolerations",
          got: "none of cloud.google.com/gke-spot, which its nodeSelector asks for",
          allowed: "a toleration: every Spot node has the taint of that name",
          fix: `pulumi config set --path '${key}.key' '${SPOT}' && pulumi config set --path '${key}.operator' 'Exists'`,
        },
      ]);
      const tolerations = [{ key: SPOT, operator: "Exists" }];
      expect(made(nodeSelector, 1, { tolerations })).toEqual([]);
    });

    test("two limits of one GPU, and a zone of another region", () => {
      const twice = { ...limits, gpus: [...gpus, ...gpus.slice(0, 1)], zones: ["us-east1-b"] };
      expect(made(L4_LATEST, 1, {}, { autoProvisioning: twice })).toMatchObject([
        {
          key: "gcp.gke.autoProvisioning.gpus[2].gpu",
          got: '"nvidia-l4", as gcp.gke.autoProvisioning.gpus[0]',
          fix: "pulumi config rm --path 'llmops:gcp.gke.autoProvisioning.gpus[2]'",
        },
        { key: "gcp.gke.autoProvisioning.zones[0]", allowed: "a zone of europe-west4" },
      ]);
    });
  });

  test("cluster.kind and gcp.gke go together, without a kubeconfig", () => {
    const kind = { cluster: { context: "c", kind: "gke" } };
    expect(gke({ ...validTree(), ...kind })).toMatchObject([{ key: "gcp.gke", got: "nothing" }]);
    expect(gke(gcpTree({ gke: GKE }))).toEqual([
      {
        key: "gcp.gke",
        got: '"llmops"',
        allowed: "not set: cluster.kind is existing",
        fix: "pulumi config rm --path 'llmops:gcp.gke'",
      },
    ]);
    const cluster = { context: "c", kind: "gke", kubeconfig: "/k" };
    expect(gke(gkeTree({}, { cluster }))).toMatchObject([{ key: "cluster.kubeconfig" }]);
  });
});

/** Limits that Google documents; each row names where. */
describe("names and bounds", () => {
  const refused = (made: object) =>
    settingsSchema.safeParse(gcpTree(made)).error?.issues.map(({ path }) => path.join("."));
  const bucket = (change: object) => ({ modelBucket: { name: "acme-models", ...change } });

  test.each<[string, object, string]>([
    // https://cloud.google.com/resource-manager/docs/creating-managing-projects
    ["project id", { project: "ab" }, "gcp.project"],
    ["project id", { project: `a${"b".repeat(30)}` }, "gcp.project"],
    // https://cloud.google.com/compute/docs/regions-zones
    ["region", { region: "europe-west4-a" }, "gcp.region"],
    // https://cloud.google.com/storage/docs/buckets#naming
    ["bucket name", bucket({ name: "ab" }), "gcp.modelBucket.name"],
    ["bucket name", bucket({ name: "a".repeat(64) }), "gcp.modelBucket.name"],
    ["bucket name", bucket({ name: "goog-models" }), "gcp.modelBucket.name"],
    ["bucket name", bucket({ name: "my-google-models" }), "gcp.modelBucket.name"],
    ["bucket name", bucket({ name: "Models" }), "gcp.modelBucket.name"],
    // https://cloud.google.com/storage/docs/soft-delete
    ["soft delete", bucket({ softDeleteDays: 6 }), "gcp.modelBucket.softDeleteDays"],
    ["soft delete", bucket({ softDeleteDays: 91 }), "gcp.modelBucket.softDeleteDays"],
    // https://cloud.google.com/artifact-registry/docs/repositories/create-repos
    ["repository", { artifactRegistry: { repository: "Ml" } }, "gcp.artifactRegistry.repository"],
    [
      "repository",
      { artifactRegistry: { repository: "a".repeat(64) } },
      "gcp.artifactRegistry.repository",
    ],
    // The account of the nodes is called <name>-nodes, at most 30 characters:
    // https://cloud.google.com/iam/docs/service-accounts-create
    ["cluster", { gke: { ...GKE, name: "a".repeat(25) } }, "gcp.gke.name"],
    // https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters.nodePools
    [
      "pool",
      { gke: { ...GKE, gpuPools: [{ ...L4, name: "a".repeat(40) }] } },
      "gcp.gke.gpuPools.0.name",
    ],
    // cpu and memory must have a limit, and GPUs go by the names of Compute Engine:
    // https://cloud.google.com/kubernetes-engine/docs/how-to/node-auto-provisioning
    [
      "limits",
      { gke: { ...GKE, autoProvisioning: { cpu: 8, gpus: [{ gpu: "nvidia-l4", max: 1 }] } } },
      "gcp.gke.autoProvisioning.memoryGB",
    ],
    [
      "limits",
      { gke: { ...GKE, autoProvisioning: { cpu: 8, memoryGB: 8, gpus: [{ gpu: "l4", max: 1 }] } } },
      "gcp.gke.autoProvisioning.gpus.0.gpu",
    ],
    // https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/create
    [
      "secret",
      { secretManager: { HF_TOKEN: { secret: "a".repeat(256), version: 1 } } },
      "gcp.secretManager.HF_TOKEN.secret",
    ],
    [
      "secret",
      { secretManager: { HF_TOKEN: { secret: "hub.token", version: 1 } } },
      "gcp.secretManager.HF_TOKEN.secret",
    ],
    // https://cloud.google.com/sql/docs/postgres/instance-settings
    ["instance", { cloudSql: { name: "Mlflow" } }, "gcp.cloudSql.name"],
    ["tier", { cloudSql: { name: "mlflow", tier: "n1-standard-1" } }, "gcp.cloudSql.tier"],
    ["backups", { cloudSql: { name: "mlflow", backups: 366 } }, "gcp.cloudSql.backups"],
  ])("%s %j is refused", (_, made, path) => {
    expect(refused(made)).toEqual([path]);
  });

  test.each([0, 7, 90])("soft delete of %d days is accepted", (softDeleteDays) => {
    expect(refused(bucket({ softDeleteDays }))).toBeUndefined();
  });
});
