import type { types } from "@pulumi/kubernetes";
import { FLASK_KEY } from "../config/secrets";
import type { MlflowSettings } from "../config/mlflow";
import { STORE, backendPieces } from "./mlflowBackend";
import type { NamedVolume, SecretNames } from "./pod";
import { plainEnv, secretEnv, secretEnvs } from "./pod";

/** Annotation of the pod that holds MLflow's login settings; it has no secret in it. */
export const AUTH_ANNOTATION = "llmops.dev/mlflow-auth";

/** The user that MLflow starts with, and that training reports as. */
export const ADMIN = "admin";

const ADMIN_KEY = "MLFLOW_AUTH_ADMIN_PASSWORD";
const FOLDER = "/app/auth";
const FILE = "basic_auth.ini";

/** What MLflow's pods get where users have to log in; empty lists where they have not. */
export interface AuthPieces {
  /** Content of MLflow's basic_auth.ini. */
  readonly config: string | undefined;
  readonly serverArgs: string[];
  readonly migrateArgs: string[];
  readonly env: types.input.core.v1.EnvVar[];
  readonly mounts: types.input.core.v1.VolumeMount[];
  readonly volumes: NamedVolume[];
}

const NONE: AuthPieces = {
  config: undefined,
  serverArgs: [],
  migrateArgs: [],
  env: [],
  mounts: [],
  volumes: [],
};

/** The users' database: beside the runs, or in the same database. */
function usersUri(settings: MlflowSettings, namespace: string): string {
  if (settings.backend.kind === "sqlite") return `sqlite:///${STORE}/basic_auth.db`;
  return backendPieces(settings, namespace, {}).uri;
}

function configuration(uri: string): string {
  return [
    "[mlflow]",
    "default_permission = READ",
    `database_uri = ${uri}`,
    `admin_username = ${ADMIN}`,
    "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
    "",
  ].join("\n");
}

/** What MLflow's pods need to ask for a user name and a password. */
export function authPieces(args: {
  readonly settings: MlflowSettings;
  readonly namespace: string;
  readonly secrets: SecretNames;
}): AuthPieces {
  if (!args.settings.auth.enabled || args.secrets[FLASK_KEY] === undefined) return NONE;
  const uri = usersUri(args.settings, args.namespace);
  const file = `${FOLDER}/${FILE}`;
  return {
    config: configuration(uri),
    serverArgs: ["--app-name", "basic-auth"],
    migrateArgs: ["--users", uri],
    env: [
      ...plainEnv({ MLFLOW_AUTH_CONFIG_PATH: file }),
      ...secretEnvs([ADMIN_KEY, FLASK_KEY], args.secrets),
    ],
    mounts: [{ name: "auth", mountPath: FOLDER, readOnly: true }],
    volumes: [
      {
        name: "auth",
        downwardAPI: {
          items: [
            {
              path: FILE,
              fieldRef: { fieldPath: `metadata.annotations['${AUTH_ANNOTATION}']` },
            },
          ],
        },
      },
    ],
  };
}

/** The login of MLflow's clients; nothing where MLflow asks for none. */
export function trackingLogin(secrets: SecretNames): types.input.core.v1.EnvVar[] {
  const secret = secrets[ADMIN_KEY];
  if (secrets[FLASK_KEY] === undefined || secret === undefined) return [];
  return [
    ...plainEnv({ MLFLOW_TRACKING_USERNAME: ADMIN }),
    secretEnv(ADMIN_KEY, secret, "MLFLOW_TRACKING_PASSWORD"),
  ];
}
