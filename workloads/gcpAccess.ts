import type { Settings } from "../config/schema";
import { managedSecrets } from "../config/secretManager";
import { usedSources } from "../config/usedSources";
import type { Place } from "./gcp";
import { workloadPool } from "./gcp";
import { NAMES, serviceAccountName } from "./names";

/** What can act as a Google service account: the pods of a role, or what brings them secrets. */
export type IdentityRole = "training" | "inference" | "mlflow" | "secrets";

/** A Google service account that the stack makes, and what it may do. */
export interface AccountAccess {
  readonly role: IdentityRole;
  readonly email: string;
  /** The part of the email that is chosen. */
  readonly accountId: string;
  /** Who may act as it: the Kubernetes service account of the role. */
  readonly member: string;
  /** Role in the model bucket that the stack makes. */
  readonly bucketRole: "roles/storage.objectViewer" | "roles/storage.objectUser" | undefined;
  /** Secrets of Secret Manager whose values it may read. */
  readonly secrets: readonly string[];
  /** Whether it may connect to the Cloud SQL instance that the stack makes. */
  readonly database: boolean;
}

const READ = "roles/storage.objectViewer";
const WRITE = "roles/storage.objectUser";

function bucketRole(settings: Settings, role: IdentityRole): AccountAccess["bucketRole"] {
  const bucket = settings.gcp?.modelBucket?.name;
  if (bucket === undefined) return undefined;
  const inside = (uri: string): boolean => uri.startsWith(`gs://${bucket}/`);
  const { training, mlflow } = settings;
  const { publish } = training ?? {};
  const writes =
    role === "mlflow"
      ? mlflow.artifacts.kind === "gcs" && inside(mlflow.artifacts.uri)
      : role === "training" && publish?.kind === "gcs" && inside(publish.target);
  if (writes) return WRITE;
  const reads = usedSources(settings).some(
    ({ role: user, source }) => user === role && source.kind === "gcs" && inside(source.uri),
  );
  return reads ? READ : undefined;
}

function secretsOf(settings: Settings): string[] {
  return [
    ...new Set(Object.values(managedSecrets(settings)).flatMap((each) => each?.secret ?? [])),
  ];
}

/** Name of the Kubernetes service account of a role. */
const kubernetesAccount = (role: IdentityRole): string =>
  role === "secrets" ? NAMES.secretReader : serviceAccountName(role);

/** The Google service accounts that the stack makes, each with no more than its pods need. */
export function accountAccess(settings: Settings, place: Place): AccountAccess[] {
  const { gcp, namespace } = settings;
  if (gcp?.createServiceAccounts !== true) return [];
  return (["training", "inference", "mlflow", "secrets"] as const).flatMap((role) => {
    const email = gcp.workloadIdentity[role];
    if (email === undefined) return [];
    const account = `${namespace}/${kubernetesAccount(role)}`;
    return [
      {
        role,
        email,
        accountId: email.slice(0, email.indexOf("@")),
        member: `serviceAccount:${workloadPool(place)}[${account}]`,
        bucketRole: bucketRole(settings, role),
        secrets: role === "secrets" ? secretsOf(settings) : [],
        database: role === "mlflow" && gcp.cloudSql !== undefined,
      },
    ];
  });
}

/** Condition of a grant in the project that holds for one Cloud SQL instance only. */
export function databaseCondition({ project }: Place, instance: string) {
  return {
    title: `only-${instance}`,
    expression:
      `resource.name == "projects/${project}/instances/${instance}" && ` +
      'resource.service == "sqladmin.googleapis.com"',
  };
}
