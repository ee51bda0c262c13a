import type { types } from "@pulumi/kubernetes";
import { hasIdentity } from "../config/usedSources";
import type { EgressSettings } from "./egress";
import { METADATA_SERVER, everyPod, repositories, tcp } from "./egress";
import type { Role } from "./names";
import { NAMES, PORTS, selectorLabels } from "./names";

type PolicySpec = types.input.networking.v1.NetworkPolicySpec;
type EgressRule = types.input.networking.v1.NetworkPolicyEgressRule;
type Selector = types.input.meta.v1.LabelSelector;
type Policies = Record<string, PolicySpec>;
type MlflowNetworkSettings = Pick<EgressSettings, "mlflow" | "network" | "gcp">;

/** Port on which a Cloud SQL instance takes connections of its Auth Proxy. */
const CLOUD_SQL_PORT = 3307;

const one = (role: Role, instance: string): Selector => ({
  matchLabels: selectorLabels(role, instance),
});
const out = (podSelector: Selector, egress: EgressRule[]): PolicySpec => ({
  podSelector,
  policyTypes: ["Egress"],
  egress,
});

const GC = one("mlflow", NAMES.mlflowGc);
const SERVER = one("postgres", NAMES.postgres);
const BACKUP = one("postgres", NAMES.mlflowBackup);
const TO_SERVER: EgressRule[] = [{ to: [{ podSelector: SERVER }], ports: tcp(PORTS.postgres) }];

/** Postgres in the cluster: reached by MLflow's pods and the backup, and by nothing else. */
function postgresPolicies(hasBackup: boolean): Policies {
  const backup = hasBackup ? [{ podSelector: BACKUP }] : [];
  return {
    postgres: {
      podSelector: everyPod("postgres"),
      policyTypes: ["Ingress"],
      ingress: [
        { from: [{ podSelector: everyPod("mlflow") }, ...backup], ports: tcp(PORTS.postgres) },
      ],
    },
    "mlflow-to-postgres": out(everyPod("mlflow"), TO_SERVER),
    ...(hasBackup ? { "backup-to-postgres": out(BACKUP, TO_SERVER) } : {}),
  };
}

function databasePolicies({ backend }: MlflowNetworkSettings["mlflow"]): Policies {
  switch (backend.kind) {
    case "sqlite":
      return {};
    case "postgres":
      return postgresPolicies(backend.backup !== undefined);
    case "external":
    case "cloudsql": {
      const port = backend.kind === "external" ? backend.port : CLOUD_SQL_PORT;
      const to = [{ ipBlock: { cidr: backend.cidr } }];
      return { "mlflow-to-database": out(everyPod("mlflow"), [{ to, ports: tcp(port) }]) };
    }
  }
}

/** Peers that call MLflow besides training and the clients: its own garbage collection. */
export function mlflowClients({
  mlflow,
}: Pick<MlflowNetworkSettings, "mlflow">): types.input.networking.v1.NetworkPolicyPeer[] {
  return mlflow.gc === undefined ? [] : [{ podSelector: GC }];
}

/** NetworkPolicies by name that let MLflow's pods reach their database, their bucket and each other. */
export function mlflowPolicies(settings: MlflowNetworkSettings): Policies {
  const { mlflow } = settings;
  const cloudsql = mlflow.backend.kind === "cloudsql";
  const google = cloudsql || mlflow.artifacts.kind === "gcs";
  const toMlflow = [
    { to: [{ podSelector: one("mlflow", NAMES.mlflow) }], ports: tcp(PORTS.mlflow) },
  ];
  return {
    ...databasePolicies(mlflow),
    ...(mlflow.gc === undefined ? {} : { "mlflow-gc-to-mlflow": out(GC, toMlflow) }),
    ...(google
      ? { "mlflow-to-repositories": out(everyPod("mlflow"), repositories(settings)) }
      : {}),
    ...(google && hasIdentity(settings, "mlflow")
      ? { "mlflow-to-metadata-server": out(everyPod("mlflow"), METADATA_SERVER) }
      : {}),
  };
}
