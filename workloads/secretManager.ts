import type { Settings } from "../config/schema";
import type { ManagedKey, SecretVersion } from "../config/secretManager";
import { managedSecrets } from "../config/secretManager";
import { NAMES } from "./names";

/** The API of External Secrets, which copies from Secret Manager into Secrets. */
export const EXTERNAL_SECRETS_API = "external-secrets.io/v1";

/** The Secret that each key is in, whatever it comes from. */
const SECRET_OF = {
  HF_TOKEN: NAMES.hubSecret,
  ARTIFACTORY_URL: NAMES.artifactorySecret,
  ARTIFACTORY_USERNAME: NAMES.artifactorySecret,
  ARTIFACTORY_PASSWORD: NAMES.artifactorySecret,
  GCS_KEY: NAMES.gcsSecret,
  WANDB_API_KEY: NAMES.wandbSecret,
  MLFLOW_DB_PASSWORD: NAMES.mlflowDatabaseSecret,
  MLFLOW_AUTH_ADMIN_PASSWORD: NAMES.mlflowAuthSecret,
  BOARD_PASSWORD: NAMES.boardSecret,
} as const satisfies Record<ManagedKey, string>;

/** What of a stack's secrets comes from Secret Manager. */
export interface ManagedSource {
  readonly project: string;
  /** Google service account that reads them. */
  readonly account: string;
  /** Versions by key, by the Secret that they end up in. */
  readonly secrets: ReadonlyMap<string, Readonly<Record<string, SecretVersion>>>;
}

/** The secrets that a stack has in Secret Manager; undefined where it has none. */
export function managedSource(settings: Pick<Settings, "gcp">): ManagedSource | undefined {
  const { project, workloadIdentity } = settings.gcp ?? {};
  const account = workloadIdentity?.secrets;
  const managed = managedSecrets(settings);
  const secrets = new Map<string, Record<string, SecretVersion>>();
  for (const [key, name] of Object.entries(SECRET_OF)) {
    const version = managed[key];
    if (version !== undefined) secrets.set(name, { ...secrets.get(name), [key]: version });
  }
  if (project === undefined || account === undefined || secrets.size === 0) return undefined;
  return { project, account, secrets };
}

/** The `spec` of the store: Secret Manager of a project, read as a service account of the namespace. */
export function secretStoreSpec(project: string, serviceAccount: string): object {
  const auth = { workloadIdentity: { serviceAccountRef: { name: serviceAccount } } };
  return { provider: { gcpsm: { projectID: project, auth } } };
}

/** The `spec` of a Secret's source: made once, since a version of a secret never changes. */
export function externalSecretSpec(
  store: string,
  versions: Readonly<Record<string, SecretVersion>>,
): object {
  return {
    secretStoreRef: { kind: "SecretStore", name: store },
    refreshPolicy: "CreatedOnce",
    target: { creationPolicy: "Owner", immutable: true },
    data: Object.entries(versions).map(([secretKey, { secret, version }]) => ({
      secretKey,
      remoteRef: { key: secret, version: String(version) },
    })),
  };
}
