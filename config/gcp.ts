import { z } from "zod";

const serviceAccount = z
  .string()
  .regex(/^[^@\s]+@[a-z0-9.:-]+\.gserviceaccount\.com$/, {
    error: "a Google service account, such as models@project.iam.gserviceaccount.com",
  })
  .optional();

/** What a stack has on Google Cloud. */
export const gcpSchema = z.strictObject({
  /** Google service accounts that pods act as, by Workload Identity. */
  workloadIdentity: z
    .strictObject({
      /** Of the training Job: reads the base model, writes what is published. */
      training: serviceAccount,
      /** Of the model servers: reads models. */
      inference: serviceAccount,
      /** Of MLflow: writes artifacts to a bucket, connects to Cloud SQL. */
      mlflow: serviceAccount,
    })
    .prefault({}),
  project: z.string().min(1).optional(),
  region: z.string().min(1).optional(),
  artifactRegistry: z.boolean().default(false),
  modelBucket: z.string().optional(),
  cloudSql: z.boolean().default(false),
  gpuNodePool: z
    .strictObject({ machineType: z.string(), accelerator: z.string(), max: z.int().min(1) })
    .optional(),
});
