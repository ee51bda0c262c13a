import { z } from "zod";
import { GPU_NAMES } from "./gpuTypes";
import { cidr } from "./primitives";
import { secretManagerSchema } from "./secretManager";

const serviceAccount = z
  .string()
  .regex(/^[^@\s]+@[a-z0-9.:-]+\.gserviceaccount\.com$/, {
    error: "a Google service account, such as models@project.iam.gserviceaccount.com",
  })
  .optional();

const zone = z.string().regex(/^[a-z]+-[a-z]+[1-9][0-9]?-[a-z]$/, {
  error: "a zone, such as europe-west4-a",
});

/** A name of at most `max` characters, as Google Cloud asks of most resources. */
const resourceName = (max: number) =>
  z
    .string()
    .regex(/^[a-z]([-a-z0-9]*[a-z0-9])?$/, {
      error: "lower-case letters, digits and '-', starting with a letter, not ending with '-'",
    })
    .max(max, { error: `at most ${String(max)} characters` });

const machineType = z.string().regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)+$/, {
  error: "a machine type, such as e2-standard-4",
});

const artifactRegistry = z.strictObject({
  /** Name of the Docker repository. */
  repository: resourceName(63),
  /** Newest versions of each image that are always kept. */
  keepVersions: z.int().min(1).max(1000).default(10),
  /** Days after which versions without a tag are removed. */
  untaggedDays: z.int().min(1).max(3650).default(30),
  /** A pushed tag never moves: a changed image needs a new `images.tag`. */
  immutableTags: z.boolean().default(true),
  /** `true`: `pulumi destroy` refuses to remove the repository. */
  protect: z.boolean().default(true),
});

const modelBucket = z.strictObject({
  /** Name of the bucket, the only one of its name in the world. */
  name: z.string().regex(/^(?!goog)(?!.*google)[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$/, {
    error: "3 to 63 lower-case letters, digits, '-' and '_', without google in it",
  }),
  /** Older versions of a file are kept. */
  versioning: z.boolean().default(true),
  /** Days that older versions are kept. */
  noncurrentDays: z.int().min(1).max(3650).default(30),
  /** Days that removed files can be restored; 0 turns that off. */
  softDeleteDays: z
    .int()
    .refine((days) => days === 0 || (days >= 7 && days <= 90), { error: "0, or 7 to 90" })
    .default(7),
  /** Key of Cloud KMS that encrypts the files. @default a key of Google's */
  kmsKey: z
    .string()
    .regex(/^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/, {
      error: "projects/<project>/locations/<region>/keyRings/<ring>/cryptoKeys/<key>",
    })
    .optional(),
  /** `true`: `pulumi destroy` refuses to remove the bucket and keeps what is in it. */
  protect: z.boolean().default(true),
});

const gpuPool = z.strictObject({
  name: resourceName(39),
  gpu: z.enum(GPU_NAMES),
  machineType,
  /** GPUs of a machine. @default the only number that the machine type can have */
  gpus: z.int().min(1).max(16).optional(),
  /** Machines that are always there; with 0, the first pod of a day waits for a machine. */
  min: z.int().min(0).max(1000).default(0),
  /** Most machines, in all zones together. */
  max: z.int().min(1).max(1000),
  /** Cheaper machines that Google may take back at any moment; only pods that tolerate it run there. */
  spot: z.boolean().default(false),
  /** Zones of the machines. @default those of the cluster */
  zones: z.array(zone).min(1, { error: "at least one zone" }).optional(),
  /** Boot disk of a machine, which holds images and what pods write. */
  diskGiB: z.int().min(50).max(65_536).default(200),
});

const autoProvisioning = z.strictObject({
  /** Most vCPUs of all machines of the cluster together, also of its pools. */
  cpu: z.int().min(1).max(1_000_000),
  /** Most memory of all machines of the cluster together, in GB. */
  memoryGB: z.int().min(1).max(10_000_000),
  /** GPUs that machines may be made with. A pod names one in its `nodeSelector`. */
  gpus: z
    .array(
      z.strictObject({
        gpu: z.enum(GPU_NAMES),
        /** Most GPUs of the type in the cluster. */
        max: z.int().min(1).max(10_000),
      }),
    )
    .min(1, { error: "at least one GPU" }),
  /** Zones of the machines. @default those of the cluster */
  zones: z.array(zone).min(1, { error: "at least one zone" }).optional(),
  /** Boot disk of a machine, which holds images and what pods write. */
  diskGiB: z.int().min(50).max(65_536).default(200),
});

const gke = z.strictObject({
  name: resourceName(24),
  /** Zones of the machines; the control plane is in all zones of the region. */
  zones: z.array(zone).min(1, { error: "at least one zone" }).optional(),
  /** How early new versions arrive. */
  releaseChannel: z.enum(["RAPID", "REGULAR", "STABLE"]).default("REGULAR"),
  /** Address ranges that may reach the API server. */
  authorizedNetworks: z.array(cidr).min(1, { error: "at least one address range" }),
  /** Addresses of the network that the stack makes; they must not overlap. */
  network: z
    .strictObject({
      nodes: cidr.default("10.0.0.0/20"),
      pods: cidr.default("10.4.0.0/14"),
      services: cidr.default("10.0.32.0/20"),
    })
    .prefault({}),
  /** Machines for all pods that need no GPU. */
  systemPool: z
    .strictObject({
      machineType: machineType.default("e2-standard-4"),
      /** Machines that are always there. */
      min: z.int().min(1).max(100).default(1),
      /** Most machines, in all zones together. */
      max: z.int().min(1).max(100).default(3),
    })
    .prefault({}),
  /** Machines with GPUs. */
  gpuPools: z.array(gpuPool).default([]),
  /** GKE makes pools for pods that no pool can take, within limits, and removes them. */
  autoProvisioning: autoProvisioning.optional(),
  /** `true`: neither `pulumi destroy` nor Google Cloud removes the cluster. */
  protect: z.boolean().default(true),
});

const cloudSql = z.strictObject({
  /** Name of the instance; it cannot be used again for a week after it was removed. */
  name: resourceName(84),
  /** Database and user that MLflow connects with. */
  database: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,62}$/, {
      error: "lower-case letters, digits, '_' and '-', starting with a letter or '_'",
    })
    .default("mlflow"),
  /** Network that reaches it, with private services access. @default that of `gcp.gke` */
  network: z
    .string()
    .regex(/^projects\/[^/]+\/global\/networks\/[^/]+$/, {
      error: "projects/<project>/global/networks/<network>",
    })
    .optional(),
  /** Machine of the instance. */
  tier: z
    .string()
    .regex(/^db-(f1-micro|g1-small|custom-[1-9][0-9]*-[1-9][0-9]*)$/, {
      error: "a tier, such as db-g1-small or db-custom-2-8192",
    })
    .default("db-g1-small"),
  /** A second machine in another zone takes over when the first one fails. */
  highAvailability: z.boolean().default(false),
  /** Daily backups that are kept. */
  backups: z.int().min(1).max(365).default(7),
  /** `true`: neither `pulumi destroy` nor Google Cloud removes the instance. */
  protect: z.boolean().default(true),
});

/** What a stack has on Google Cloud. */
export const gcpSchema = z.strictObject({
  /** Project that everything is made in. */
  project: z
    .string()
    .regex(/^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, {
      error: "a project id: 6 to 30 lower-case letters, digits and '-', starting with a letter",
    })
    .optional(),
  /** Region that everything is made in. */
  region: z
    .string()
    .regex(/^[a-z]+-[a-z]+[1-9][0-9]?$/, { error: "a region, such as europe-west4" })
    .optional(),
  /** Google service accounts that pods act as, by Workload Identity. */
  workloadIdentity: z
    .strictObject({
      /** Of the training Job: reads the base model, writes what is published. */
      training: serviceAccount,
      /** Of the model servers: reads models. */
      inference: serviceAccount,
      /** Of MLflow: writes artifacts to a bucket, connects to Cloud SQL. */
      mlflow: serviceAccount,
      /** That External Secrets reads `secretManager` as; no pod of the stack does. */
      secrets: serviceAccount,
    })
    .prefault({}),
  /** The stack makes the accounts of `workloadIdentity`, and gives them what their pods need. */
  createServiceAccounts: z.boolean().default(false),
  /** Secrets that come from Secret Manager, instead of `pulumi config set --secret`: docs/gcp.md. */
  secretManager: secretManagerSchema.optional(),
  /** Makes the registry that the images are pushed to. */
  artifactRegistry: artifactRegistry.optional(),
  /** Makes a bucket for models. */
  modelBucket: modelBucket.optional(),
  /** The cluster that `cluster.kind: gke` makes, with a network of its own. */
  gke: gke.optional(),
  /** Makes a Postgres instance for MLflow; needs the secret MLFLOW_DB_PASSWORD. */
  cloudSql: cloudSql.optional(),
});

export type RegistrySettings = z.infer<typeof artifactRegistry>;
export type BucketSettings = z.infer<typeof modelBucket>;
export type GkeSettings = z.infer<typeof gke>;
export type AutoProvisioningSettings = z.infer<typeof autoProvisioning>;
export type GpuPoolSettings = z.infer<typeof gpuPool>;
export type CloudSqlSettings = z.infer<typeof cloudSql>;
