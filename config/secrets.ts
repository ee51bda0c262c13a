import type { Fault } from "./faults";
import { removeCommand } from "./faults";
import type { Settings } from "./schema";
import { managedSecrets } from "./secretManager";
import type { UsedSource } from "./usedSources";
import { hasIdentity, usedSources } from "./usedSources";

/** Secrets of a stack: top-level keys, set with `pulumi config set --secret`. */
export const SECRET_KEYS = [
  "HF_TOKEN",
  "ARTIFACTORY_URL",
  "ARTIFACTORY_USERNAME",
  "ARTIFACTORY_PASSWORD",
  "GCS_KEY",
  "WANDB_API_KEY",
  "VLLM_API_KEY",
  "MLFLOW_DB_PASSWORD",
  "MLFLOW_AUTH_ADMIN_PASSWORD",
  "BOARD_PASSWORD",
  "OTLP_HEADERS",
] as const;

export type SecretKey = (typeof SECRET_KEYS)[number];

/** What signs the forms of MLflow's own pages; never given, always generated. */
export const FLASK_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY";

/** Secrets that are generated where the stack gives none. */
export type GeneratedKey =
  "MLFLOW_DB_PASSWORD" | "MLFLOW_AUTH_ADMIN_PASSWORD" | typeof FLASK_KEY | "BOARD_PASSWORD";

/** The secrets that this program has to generate where they are not given. */
export function generatedSecrets(
  settings: Pick<Settings, "mlflow" | "board" | "gcp">,
): readonly GeneratedKey[] {
  const { mlflow, board } = settings;
  const managed = managedSecrets(settings);
  const database: GeneratedKey[] = mlflow.backend.kind === "postgres" ? ["MLFLOW_DB_PASSWORD"] : [];
  const login: GeneratedKey[] = mlflow.auth.enabled
    ? ["MLFLOW_AUTH_ADMIN_PASSWORD", FLASK_KEY]
    : [];
  const needed = [...database, ...login, ...(board.enabled ? ["BOARD_PASSWORD" as const] : [])];
  return needed.filter((key) => managed[key] === undefined);
}

/** What is known of a secret without reading it. */
export interface SecretState {
  readonly isSet: boolean;
  /** Whether it is encrypted in the stack file. */
  readonly isSecret: boolean;
}

/** A secret that is needed, and why. */
type Need = readonly [key: SecretKey, why: string];

/** A service-account key is a file, so it is read from one. */
const command = (key: SecretKey): string =>
  `pulumi config set --secret ${key}${key === "GCS_KEY" ? " < key.json" : ""}`;

/** Secrets that a repository wants of who reads it, or writes to it. */
function repositoryNeeds(
  settings: Settings,
  { key, role }: Pick<UsedSource, "key" | "role">,
  access: { readonly kind: "artifactory" } | { readonly kind: "gcs"; readonly anonymous: boolean },
): Need[] {
  if (access.kind === "artifactory") return [["ARTIFACTORY_URL", `${key} is a path below it`]];
  if (access.anonymous || hasIdentity(settings, role)) return [];
  return [["GCS_KEY", `${key} has neither gcp.workloadIdentity.${role} nor anonymous`]];
}

function sourceNeeds(settings: Settings, used: UsedSource): Need[] {
  const { key, source } = used;
  switch (source.kind) {
    case "huggingface":
      return source.gated ? [["HF_TOKEN", `${key}.gated is true`]] : [];
    case "gcs":
      return source.access === "mount" ? [] : repositoryNeeds(settings, used, source);
    case "artifactory":
      return repositoryNeeds(settings, used, source);
    case "volume":
    case "training":
      return [];
  }
}

function publishNeeds(settings: Settings): Need[] {
  const publish = settings.training?.publish;
  if (publish === undefined) return [];
  return repositoryNeeds(settings, { key: "training.publish", role: "training" }, publish);
}

function mlflowNeeds(settings: Settings): Need[] {
  const { backend, artifacts } = settings.mlflow;
  const elsewhere = backend.kind === "external" || backend.kind === "cloudsql";
  const byKey = artifacts.kind === "gcs" && !hasIdentity(settings, "mlflow");
  return [
    ...(elsewhere
      ? [["MLFLOW_DB_PASSWORD", `mlflow.backend.kind is ${backend.kind}`] as const]
      : []),
    ...(byKey ? [["GCS_KEY", "mlflow.artifacts has no gcp.workloadIdentity.mlflow"] as const] : []),
  ];
}

/** A user name goes with a password; a password alone is a token; each is sent to the URL. */
function artifactoryNeeds(isSet: (key: SecretKey) => boolean): Need[] {
  const login = (["ARTIFACTORY_PASSWORD", "ARTIFACTORY_USERNAME"] as const).find(isSet);
  return [
    ...(login === undefined
      ? []
      : [["ARTIFACTORY_URL", `${login} is set, and sent there`] as const]),
    ...(isSet("ARTIFACTORY_USERNAME")
      ? [["ARTIFACTORY_PASSWORD", "ARTIFACTORY_USERNAME is set, and goes with it"] as const]
      : []),
  ];
}

function needed(
  settings: Settings,
  isSet: (key: SecretKey) => boolean,
): ReadonlyMap<SecretKey, string> {
  const needs: Need[] = [
    ...usedSources(settings).flatMap((used) => sourceNeeds(settings, used)),
    ...publishNeeds(settings),
    ...mlflowNeeds(settings),
    ...artifactoryNeeds(isSet),
  ];
  const tracking = settings.training?.tracking;
  if (tracking?.wandb === true && tracking.wandbMode === "online") {
    needs.push(["WANDB_API_KEY", "training.tracking.wandb is true"]);
  }
  if (settings.gcp?.cloudSql !== undefined) {
    needs.push(["MLFLOW_DB_PASSWORD", "gcp.cloudSql makes a user with it"]);
  }
  // The first reason is told; the last entry of a map wins.
  return new Map(needs.reverse());
}

/** Faults for secrets that are missing or stand in the stack file in plain text. */
export function secretFaults(settings: Settings, state: (key: SecretKey) => SecretState): Fault[] {
  const managed = managedSecrets(settings);
  const isManaged = (key: SecretKey): boolean => managed[key] !== undefined;
  const need = needed(settings, (key) => isManaged(key) || state(key).isSet);
  return SECRET_KEYS.flatMap((key): Fault[] => {
    const { isSet, isSecret } = state(key);
    const why = need.get(key);
    if (isSet && isManaged(key)) {
      const allowed = "one of the two: pods get the version that is named there";
      const got = `a value in the stack file (not shown), and gcp.secretManager.${key}`;
      return [{ key, got, allowed, fix: removeCommand(key) }];
    }
    if (!isSet && !isManaged(key) && why !== undefined) {
      return [{ key, got: "nothing", allowed: `a secret, since ${why}`, fix: command(key) }];
    }
    if (isSet && !isSecret) {
      return [
        {
          key,
          got: "a value in plain text (not shown)",
          allowed: "an encrypted value",
          fix: command(key),
        },
      ];
    }
    return [];
  });
}
