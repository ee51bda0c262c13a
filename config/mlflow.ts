import { z } from "zod";
import {
  bucketFolder,
  cidr,
  digestImage,
  placement,
  quantity,
  resources,
  service,
} from "./primitives";

/** When a CronJob runs. */
const schedule = z.string().regex(/^[\d*,/-]+( [\d*,/A-Za-z-]+){4}$/, {
  error: 'a cron schedule of five fields, in UTC, such as "15 2 * * *"',
});

/** Name of a Postgres database or role; it stands in a URI. */
const identifier = z.string().regex(/^[a-z_][a-z0-9_-]{0,62}$/, {
  error: "lower-case letters, digits, '_' and '-', starting with a letter or '_'",
});

const sqlite = z.strictObject({ kind: z.literal("sqlite") });

const postgres = z.strictObject({
  kind: z.literal("postgres"),
  /** Image by digest, with the `postgres` target of images/mlflow. @default the one that is built */
  image: digestImage.optional(),
  resources: z
    .strictObject({
      /** CPU request. */
      cpu: quantity.default("250m"),
      /** CPU limit; left out, the container may use idle CPU. */
      cpuLimit: quantity.optional(),
      /** Memory request and limit. */
      memory: quantity.default("1Gi"),
    })
    .prefault({}),
  /** Dumps of the database onto `mlflow-backup-pvc`. */
  backup: z
    .strictObject({
      /** Cron schedule, in UTC. */
      schedule: schedule.default("15 2 * * *"),
      /** Number of dumps to keep. */
      keep: z.int().min(1).max(365).default(7),
    })
    .optional(),
});

const external = z.strictObject({
  kind: z.literal("external"),
  /** Host name or address of the Postgres server. */
  host: z.string().regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i, { error: "a host name or address" }),
  port: z.int().min(1).max(65_535).default(5432),
  database: identifier.default("mlflow"),
  user: identifier.default("mlflow"),
  /** How the connection is encrypted; `verify-full` checks the certificate and the name in it. */
  sslMode: z.enum(["disable", "require", "verify-ca", "verify-full"]).default("verify-full"),
  /** Address range of the server: MLflow may connect to nothing else. */
  cidr,
});

const cloudsql = z.strictObject({
  kind: z.literal("cloudsql"),
  /** Connection name of the instance. */
  instance: z.string().regex(/^[a-z0-9.:-]+:[a-z0-9-]+:[a-z0-9-]+$/, {
    error: "a connection name, project:region:instance",
  }),
  database: identifier.default("mlflow"),
  user: identifier.default("mlflow"),
  /** Image by digest of the Cloud SQL Auth Proxy, version 2. */
  image: digestImage,
  /** Whether the instance is reached by its private address. */
  privateIp: z.boolean().default(true),
  /** Address range of the instance. */
  cidr,
});

/** The tracking server: where its runs, its artifacts and its users are kept. */
export const mlflowSchema = z
  .strictObject({
    /** Where runs, metrics and the model registry are kept. */
    backend: z
      .discriminatedUnion("kind", [sqlite, postgres, external, cloudsql])
      .default({ kind: "sqlite" }),
    /** Where files of runs are kept. They always pass through the server. */
    artifacts: z
      .discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("volume") }),
        z.strictObject({
          kind: z.literal("gcs"),
          /** Folder of a bucket. */
          uri: bucketFolder,
        }),
      ])
      .default({ kind: "volume" }),
    /** Servers behind the Service; more than one needs a database server. */
    replicas: z.int().min(1).max(10).default(1),
    /** User names and passwords. */
    auth: z.strictObject({ enabled: z.boolean().default(false) }).prefault({}),
    /** Removal for good of runs that were deleted long ago. */
    gc: z
      .strictObject({
        /** Cron schedule, in UTC. */
        schedule: schedule.default("45 3 * * 0"),
        /** Days since the deletion. */
        olderThanDays: z.int().min(1).max(3650).default(30),
      })
      .optional(),
    /** Host names or patterns that MLflow answers to, and whose pages may write to it, besides its Service names. */
    allowedHosts: z.array(z.string().regex(/^[\w.*:-]+$/)).default([]),
    resources: resources({ cpu: "250m", memory: "2Gi" }),
    /** Of the server, its database and their CronJobs. */
    placement,
    service,
  })
  .prefault({});

export type MlflowSettings = z.infer<typeof mlflowSchema>;
export type MlflowBackend = MlflowSettings["backend"];
export type PostgresSettings = Extract<MlflowBackend, { kind: "postgres" }>;
