import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { MlflowSettings } from "../config/mlflow";
import type { KeyFile } from "./gcs";
import { AUTH_ANNOTATION, authPieces } from "./mlflowAuth";
import { artifactPieces, backendPieces, storePieces } from "./mlflowBackend";
import { NAMES, PORTS, labels, selectorLabels } from "./names";
import type { SecretNames } from "./pod";
import { HOME, containerDefaults, plainEnv, podDefaults, resourceRequirements } from "./pod";

/** The entry code of this project in MLflow's image. */
const ENTRY = ["/opt/venv/bin/python", "-m", "llmops_mlflow"] as const;

/** Host names that MLflow answers to: its Service by every name, pods by address, and the extra ones. */
export function allowedHosts(namespace: string, extra: readonly string[]): string[] {
  const service = [
    NAMES.mlflow,
    `${NAMES.mlflow}.${namespace}`,
    `${NAMES.mlflow}.${namespace}.svc`,
  ];
  const names = [
    ...service,
    `${NAMES.mlflow}.${namespace}.svc.cluster.local`,
    "localhost",
    "127.0.0.1",
  ];
  return [...names.flatMap((name) => [name, `${name}:*`]), ...extra];
}

/** Origins of the pages that MLflow serves itself: without them a browser's own requests count as another site's. */
export const allowedOrigins = (hosts: readonly string[]): string[] =>
  hosts.flatMap((host) => [`http://${host}`, `https://${host}`]);

/** The tracking URI inside the cluster. */
export function trackingUri(namespace: string): string {
  return `http://${NAMES.mlflow}.${namespace}.svc:${String(PORTS.mlflow)}`;
}

/** Job execution would start a dozen idle processes, a GiB together, for features not used here. */
export const ENVIRONMENT = {
  HOME,
  DO_NOT_TRACK: "1",
  MLFLOW_DISABLE_TELEMETRY: "true",
  MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
} as const;

/** A version may name a URL. The server could connect to it, but for the NetworkPolicy that lets it nowhere. */
const URL_SOURCES = { MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES: "http,https" } as const;

/** What the pods of MLflow are made of. */
export interface MlflowPodArgs {
  readonly settings: MlflowSettings;
  readonly namespace: string;
  readonly image: Input<string>;
  /** Claim of the database and the artifacts, where either is on it. */
  readonly claim: Input<string> | undefined;
  readonly secrets: SecretNames;
  /** Whether the pods act as a Google service account. */
  readonly identity: boolean;
  readonly pullSecrets: readonly string[];
  /** Whether models are published to Artifactory. */
  readonly registersUrls: boolean;
}

const TMP = { name: "tmp", mountPath: "/tmp" } as const;

/** Brings the database to the schema of this MLflow, and the administrator to this password. */
function migrateContainer(args: MlflowPodArgs): types.input.core.v1.Container {
  const { uri, env } = backendPieces(args.settings, args.namespace, args.secrets);
  const auth = authPieces(args);
  return {
    ...containerDefaults(),
    name: "migrate",
    image: args.image,
    command: [...ENTRY],
    args: ["migrate", uri, ...auth.migrateArgs],
    env: [...plainEnv(ENVIRONMENT), ...env, ...auth.env],
    resources: resourceRequirements(args.settings.resources, "cpu"),
    volumeMounts: [...storePieces(args.claim).mounts, ...auth.mounts, TMP],
  };
}

function serverArguments(args: MlflowPodArgs, artifacts: string): string[] {
  const { settings, namespace, secrets } = args;
  const hosts = allowedHosts(namespace, settings.allowedHosts);
  return [
    "server",
    "--host",
    "0.0.0.0",
    "--port",
    String(PORTS.mlflow),
    "--workers",
    "1",
    "--backend-store-uri",
    backendPieces(settings, namespace, secrets).uri,
    "--artifacts-destination",
    artifacts,
    "--serve-artifacts",
    "--allowed-hosts",
    hosts.join(","),
    "--cors-allowed-origins",
    allowedOrigins(hosts).join(","),
    ...authPieces(args).serverArgs,
  ];
}

function serverContainer(
  args: MlflowPodArgs,
  artifacts: KeyFile & { readonly destination: string },
): types.input.core.v1.Container {
  const { settings, namespace, secrets } = args;
  const httpGet = { path: "/health", port: "http" };
  const auth = authPieces(args);
  return {
    ...containerDefaults(),
    name: "mlflow",
    image: args.image,
    args: serverArguments(args, artifacts.destination),
    env: [
      ...plainEnv({ ...ENVIRONMENT, ...(args.registersUrls ? URL_SOURCES : {}) }),
      ...backendPieces(settings, namespace, secrets).env,
      ...artifacts.env,
      ...auth.env,
    ],
    ports: [{ name: "http", containerPort: PORTS.mlflow }],
    resources: resourceRequirements(settings.resources, "cpu"),
    startupProbe: { httpGet, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 150 },
    livenessProbe: { httpGet, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    readinessProbe: { httpGet, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3 },
    volumeMounts: [...storePieces(args.claim).mounts, ...artifacts.mounts, ...auth.mounts, TMP],
  };
}

/**
 * The Deployment of MLflow. Its pods are ended before the next ones start, since an upgrade changes
 * the schema of the database, and SQLite has one writer.
 */
export function mlflowSpec(args: MlflowPodArgs): types.input.apps.v1.DeploymentSpec {
  const { settings, namespace, secrets } = args;
  const artifacts = artifactPieces(settings, args.identity, secrets);
  const auth = authPieces(args);
  const { sidecars } = backendPieces(settings, namespace, secrets);
  return {
    replicas: settings.replicas,
    selector: { matchLabels: selectorLabels("mlflow", NAMES.mlflow) },
    strategy: { type: "Recreate" },
    template: {
      metadata: {
        labels: labels("mlflow", NAMES.mlflow),
        ...(auth.config === undefined ? {} : { annotations: { [AUTH_ANNOTATION]: auth.config } }),
      },
      spec: {
        ...podDefaults("mlflow", settings, args.pullSecrets),
        initContainers: [...sidecars, migrateContainer(args)],
        containers: [serverContainer(args, artifacts)],
        volumes: [
          ...storePieces(args.claim).volumes,
          ...artifacts.volumes,
          ...auth.volumes,
          { name: "tmp", emptyDir: {} },
        ],
      },
    },
  };
}
