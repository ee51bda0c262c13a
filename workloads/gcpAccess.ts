import type { Settings } from "../config/schema";
import { usedSources } from "../config/usedSources";
import type { Place } from "./gcp";
import { workloadPool } from "./gcp";
import { serviceAccountName } from "./names";

/** The kinds of pods that can act as a Google service account. */
export type IdentityRole = "training" | "inference" | "mlflow";

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

/** The Google service accounts that the stack makes, each with no more than its pods need. */
export function accountAccess(settings: Settings, place: Place): AccountAccess[] {
  const { gcp, namespace } = settings;
  if (gcp?.createServiceAccounts !== true) return [];
  return (["training", "inference", "mlflow"] as const).flatMap((role) => {
    const email = gcp.workloadIdentity[role];
    if (email === undefined) return [];
    const account = `${namespace}/${serviceAccountName(role)}`;
    return [
      {
        role,
        email,
        accountId: email.slice(0, email.indexOf("@")),
        member: `serviceAccount:${workloadPool(place)}[${account}]`,
        bucketRole: bucketRole(settings, role),
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
