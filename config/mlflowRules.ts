import type { Fault } from "./faults";
import { setCommand } from "./faults";
import type { Settings } from "./schema";
import { hasIdentity } from "./usedSources";

type Rule = (settings: Settings) => readonly Fault[];
type Claim = "mlflow" | "mlflowDatabase" | "mlflowBackup";

/** Whether MLflow's pods mount `mlflow-pvc`. */
export function usesMlflowClaim({ mlflow }: Pick<Settings, "mlflow">): boolean {
  return mlflow.backend.kind === "sqlite" || mlflow.artifacts.kind === "volume";
}

const claims: Rule = (settings) => {
  const { backend } = settings.mlflow;
  const postgres = backend.kind === "postgres";
  const needed: readonly (readonly [Claim, boolean, string])[] = [
    ["mlflow", usesMlflowClaim(settings), "MLflow keeps its runs or their artifacts there"],
    ["mlflowDatabase", postgres, "mlflow.backend.kind is postgres"],
    ["mlflowBackup", postgres && backend.backup !== undefined, "mlflow.backend.backup is set"],
  ];
  return needed.flatMap(([name, isNeeded, why]) =>
    isNeeded && settings.storage[name] === undefined
      ? [
          {
            key: `storage.${name}`,
            got: "nothing",
            allowed: `a claim, since ${why}`,
            fix: setCommand(`storage.${name}.volume.kind`, "storageClass"),
          },
        ]
      : [],
  );
};

const replicas: Rule = ({ mlflow, storage }) => {
  const key = "mlflow.replicas";
  const { replicas: count, backend, artifacts } = mlflow;
  if (count === 1) return [];
  if (backend.kind === "sqlite") {
    return [
      {
        key,
        got: `${String(count)} with mlflow.backend.kind sqlite`,
        allowed: "1: SQLite has one writer; or a database server",
        fix: setCommand(key, "1"),
      },
    ];
  }
  const claim = storage.mlflow;
  if (artifacts.kind !== "volume" || claim === undefined) return [];
  if (claim.accessMode === "ReadWriteMany" || claim.volume.kind === "hostPath") return [];
  return [
    {
      key,
      got: `${String(count)} on a ReadWriteOnce claim, which only one node can mount`,
      allowed: "1, a claim that several nodes can mount, or artifacts in a bucket",
      fix: setCommand("storage.mlflow.accessMode", "ReadWriteMany"),
    },
  ];
};

const cloudSqlIdentity: Rule = (settings) => {
  const { backend } = settings.mlflow;
  if (backend.kind !== "cloudsql" || hasIdentity(settings, "mlflow")) return [];
  return [
    {
      key: "gcp.workloadIdentity.mlflow",
      got: "nothing",
      allowed: "a Google service account, since the Cloud SQL Auth Proxy connects as one",
      fix: setCommand("gcp.workloadIdentity.mlflow", "<name>@<project>.iam.gserviceaccount.com"),
    },
  ];
};

const RULES: readonly Rule[] = [claims, replicas, cloudSqlIdentity];

/** Faults of MLflow's settings that only several settings together show. */
export function mlflowFaults(settings: Settings): Fault[] {
  return RULES.flatMap((rule) => rule(settings));
}
