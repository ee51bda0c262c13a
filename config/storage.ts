import { z } from "zod";
import { absolutePath, dnsLabel, quantity } from "./primitives";

const volume = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("hostPath"),
    /** Folder on the node. */
    path: absolutePath,
    /** Value of the node's `kubernetes.io/hostname` label: pods that use the claim run there. */
    node: z.string().min(1),
  }),
  z.strictObject({
    kind: z.literal("storageClass"),
    /** StorageClass. @default the cluster's default class */
    name: z.string().min(1).optional(),
  }),
  z.strictObject({
    kind: z.literal("existingClaim"),
    /** Name of a claim that is already in the namespace. */
    name: dnsLabel(253),
    /** `true`: the stack takes the claim over as it is, by `import`; `false`: it only uses it. */
    adopt: z.boolean().default(false),
  }),
]);

const claim = (size: string) =>
  z.strictObject({
    volume,
    size: quantity.default(size),
    accessMode: z.enum(["ReadWriteOnce", "ReadWriteMany"]).default("ReadWriteOnce"),
    /** `true`: `pulumi destroy` refuses to remove the claim, or the namespace that it is in. */
    protect: z.boolean().default(true),
  });

/** The volumes: what is trained on, what comes out, and MLflow's store. */
export const storageSchema = z.strictObject({
  /** `model-output-pvc`: base models, training runs and what is served. */
  modelOutput: claim("50Gi"),
  /** `training-data-pvc`: needed with `training.data.kind: volume`. */
  trainingData: claim("20Gi").optional(),
  /** `mlflow-pvc`: SQLite database and artifacts. */
  mlflow: claim("10Gi").optional(),
  /** `mlflow-database-pvc`: needed with `mlflow.backend.kind: postgres`. */
  mlflowDatabase: claim("10Gi").optional(),
  /** `mlflow-backup-pvc`: needed with `mlflow.backend.backup`. */
  mlflowBackup: claim("10Gi").optional(),
  /** `hub-cache-pvc`: what is downloaded. @default the folder sources of `model-output-pvc` */
  hubCache: claim("100Gi").optional(),
  /** `compile-cache-pvc`: what servers compile. @default the folder compile-cache of `model-output-pvc` */
  compileCache: claim("20Gi").optional(),
});

/** One claim of the storage section. */
export type ClaimSettings = z.infer<ReturnType<typeof claim>>;
