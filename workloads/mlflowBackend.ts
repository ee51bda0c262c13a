import type { types } from "@pulumi/kubernetes";
import type { Input } from "@pulumi/pulumi";
import type { MlflowBackend, MlflowSettings } from "../config/mlflow";
import type { KeyFile } from "./gcs";
import { NO_KEY, gcsKeyFile } from "./gcs";
import { NAMES, PORTS } from "./names";
import type { NamedVolume, SecretNames } from "./pod";
import { containerDefaults, plainEnv, resourceRequirements, secretEnv } from "./pod";

/** Folder of MLflow's containers in which `mlflow-pvc` is mounted. */
export const STORE = "/mlflow";

/** Certificates that the image trusts: Debian's, and the site's own. */
const TRUSTED = "/etc/ssl/certs/ca-certificates.crt";

const PROXY_HEALTH_PORT = 9090;

/** What a pod of MLflow needs to reach its database. */
export interface BackendPieces {
  /** URI of the database; it never holds the password. */
  readonly uri: string;
  readonly env: types.input.core.v1.EnvVar[];
  /** Containers that are ready before the others start, and end after them. */
  readonly sidecars: types.input.core.v1.Container[];
}

interface ConnectArgs {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly sslMode: string;
}

/** The password and the TLS settings reach libpq by its own variables. */
function connection(args: ConnectArgs, secrets: SecretNames): Omit<BackendPieces, "sidecars"> {
  const { host, port, user, database, sslMode } = args;
  const secret = secrets["MLFLOW_DB_PASSWORD"];
  const checked = sslMode.startsWith("verify-") ? { PGSSLROOTCERT: TRUSTED } : {};
  return {
    // The driver is named: SQLAlchemy's own choice differs from one version to the next.
    uri: `postgresql+psycopg2://${user}@${host}:${String(port)}/${database}`,
    env: [
      ...plainEnv({ PGSSLMODE: sslMode, ...checked }),
      ...(secret === undefined ? [] : [secretEnv("MLFLOW_DB_PASSWORD", secret, "PGPASSWORD")]),
    ],
  };
}

/** The Cloud SQL Auth Proxy, which encrypts and signs in as the pod's Google service account. */
function authProxy(
  backend: Extract<MlflowBackend, { kind: "cloudsql" }>,
): types.input.core.v1.Container {
  const probe = (path: string) => ({
    httpGet: { path, port: PROXY_HEALTH_PORT },
    timeoutSeconds: 5,
  });
  return {
    ...containerDefaults({ readOnlyRoot: true }),
    name: "cloud-sql-proxy",
    image: backend.image,
    restartPolicy: "Always",
    args: [
      "--structured-logs",
      "--exit-zero-on-sigterm",
      "--port",
      String(PORTS.postgres),
      "--health-check",
      "--http-address",
      "0.0.0.0",
      "--http-port",
      String(PROXY_HEALTH_PORT),
      ...(backend.privateIp ? ["--private-ip"] : []),
      backend.instance,
    ],
    resources: resourceRequirements({ cpu: "100m", memory: "128Mi" }, "cpu"),
    startupProbe: { ...probe("/startup"), periodSeconds: 1, failureThreshold: 60 },
    livenessProbe: { ...probe("/liveness"), periodSeconds: 10, failureThreshold: 6 },
  };
}

/** How MLflow's pods reach the database of a stack. */
export function backendPieces(
  { backend }: Pick<MlflowSettings, "backend">,
  namespace: string,
  secrets: SecretNames,
): BackendPieces {
  const port = PORTS.postgres;
  switch (backend.kind) {
    case "sqlite":
      return { uri: `sqlite:///${STORE}/mlflow.db`, env: [], sidecars: [] };
    case "postgres": {
      const own = { user: "mlflow", database: "mlflow", sslMode: "disable" };
      const host = `${NAMES.postgres}.${namespace}.svc`;
      return { ...connection({ ...own, host, port }, secrets), sidecars: [] };
    }
    case "external":
      return { ...connection(backend, secrets), sidecars: [] };
    case "cloudsql": {
      // The proxy encrypts what leaves the pod.
      const local = { ...backend, host: "127.0.0.1", port, sslMode: "disable" };
      return { ...connection(local, secrets), sidecars: [authProxy(backend)] };
    }
  }
}

/** Where the server keeps artifacts, and what it proves with who it is. */
export function artifactPieces(
  { artifacts }: Pick<MlflowSettings, "artifacts">,
  identity: boolean,
  secrets: SecretNames,
): KeyFile & { readonly destination: string } {
  if (artifacts.kind === "volume") return { ...NO_KEY, destination: `${STORE}/artifacts` };
  return {
    ...gcsKeyFile({ anonymous: false }, identity, secrets),
    destination: artifacts.uri,
  };
}

/** The volume of `mlflow-pvc` and its mount, where there is a claim. */
export function storePieces(claim: Input<string> | undefined): {
  readonly mounts: types.input.core.v1.VolumeMount[];
  readonly volumes: NamedVolume[];
} {
  if (claim === undefined) return { mounts: [], volumes: [] };
  return {
    mounts: [{ name: "store", mountPath: STORE }],
    volumes: [{ name: "store", persistentVolumeClaim: { claimName: claim } }],
  };
}
