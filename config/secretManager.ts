import { z } from "zod";

const version = z
  .strictObject({
    /** Name of the secret in `gcp.project`. */
    secret: z.string().regex(/^[A-Za-z0-9_-]{1,255}$/, {
      error: "a name of Secret Manager: letters, digits, '-' and '_'",
    }),
    /** Number of its version. Another one makes another Kubernetes Secret, and the pods that use it roll. */
    version: z.int().min(1),
  })
  .optional();

/** Versions in Secret Manager, by the secret of the stack that they are. Their values are in no state. */
export const secretManagerSchema = z.strictObject({
  HF_TOKEN: version,
  ARTIFACTORY_URL: version,
  ARTIFACTORY_USERNAME: version,
  ARTIFACTORY_PASSWORD: version,
  GCS_KEY: version,
  WANDB_API_KEY: version,
  MLFLOW_DB_PASSWORD: version,
  MLFLOW_AUTH_ADMIN_PASSWORD: version,
  BOARD_PASSWORD: version,
});

type Versions = z.infer<typeof secretManagerSchema>;

/** A secret that can come from Secret Manager: all but VLLM_API_KEY, which the stack itself hands out. */
export type ManagedKey = keyof Versions;

/** A version of a secret in Secret Manager. */
export type SecretVersion = NonNullable<z.infer<typeof version>>;

/** The secrets of a stack that come from Secret Manager. */
export function managedSecrets({
  gcp,
}: {
  readonly gcp?: { readonly secretManager?: Versions | undefined } | undefined;
}): Readonly<Partial<Record<string, SecretVersion>>> {
  const given = Object.entries(gcp?.secretManager ?? {});
  return Object.fromEntries(given.filter(([, each]) => each !== undefined));
}
