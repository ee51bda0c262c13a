import type { types } from "@pulumi/kubernetes";
import type { Input } from "@pulumi/pulumi";
import type { PostgresSettings } from "../config/mlflow";
import { cronJobSpec } from "./cronJob";
import { NAMES, PORTS, labels, selectorLabels } from "./names";
import type { PodSettings } from "./pod";
import { containerDefaults, plainEnv, podDefaults, resourceRequirements, secretEnv } from "./pod";

type Container = types.input.core.v1.Container;

/** Key of the Secret with the password of the role `mlflow`. */
const PASSWORD_KEY = "MLFLOW_DB_PASSWORD";
const PASSWORD_FOLDER = "/var/run/secrets/postgres";
const DATA_FOLDER = "/var/lib/postgresql";
const BACKUP_FOLDER = "/backup";
const TMP = { name: "tmp", mountPath: "/tmp" } as const;

/** What the pods of Postgres are made of. */
export interface PostgresPodArgs {
  readonly settings: PostgresSettings;
  readonly placement: PodSettings["placement"];
  /** Image by digest. */
  readonly image: Input<string>;
  /** Claim of the data. */
  readonly claim: Input<string>;
  /** Name of the Secret with the password. */
  readonly secret: Input<string>;
  readonly pullSecrets: readonly string[];
}

function container(name: string, { settings, image }: PostgresPodArgs): Container {
  return {
    ...containerDefaults({ readOnlyRoot: true }),
    name,
    image,
    resources: resourceRequirements({ ...settings.resources, gpu: 0 }, "cpu"),
  };
}

function serverContainer(args: PostgresPodArgs): Container {
  const exec = { command: ["pg_isready", "--host=127.0.0.1", "--dbname=mlflow", "--timeout=3"] };
  return {
    ...container("postgres", args),
    args: ["serve", "--password-file", `${PASSWORD_FOLDER}/password`],
    ports: [{ name: "postgres", containerPort: PORTS.postgres }],
    // Half an hour: after a crash the server first replays what it had logged.
    startupProbe: { exec, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 900 },
    livenessProbe: {
      tcpSocket: { port: "postgres" },
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6,
    },
    readinessProbe: { exec, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3 },
    volumeMounts: [
      { name: "data", mountPath: DATA_FOLDER },
      { name: "password", mountPath: PASSWORD_FOLDER, readOnly: true },
      TMP,
    ],
  };
}

/** The StatefulSet of Postgres: one pod, which is gone before another one gets its claim. */
export function postgresSpec(args: PostgresPodArgs): types.input.apps.v1.StatefulSetSpec {
  return {
    replicas: 1,
    serviceName: NAMES.postgres,
    // In order, a pod that never becomes ready would keep its own correction from rolling out.
    podManagementPolicy: "Parallel",
    selector: { matchLabels: selectorLabels("postgres", NAMES.postgres) },
    template: {
      metadata: { labels: labels("postgres", NAMES.postgres) },
      spec: {
        ...podDefaults("postgres", args, args.pullSecrets),
        terminationGracePeriodSeconds: 60,
        containers: [serverContainer(args)],
        volumes: [
          { name: "data", persistentVolumeClaim: { claimName: args.claim } },
          {
            name: "password",
            secret: {
              secretName: args.secret,
              items: [{ key: PASSWORD_KEY, path: "password" }],
              defaultMode: 0o440,
            },
          },
          { name: "tmp", emptyDir: {} },
        ],
      },
    },
  };
}

/** The Service of Postgres, inside the cluster only. */
export function postgresServiceSpec(): types.input.core.v1.ServiceSpec {
  return {
    type: "ClusterIP",
    selector: selectorLabels("postgres", NAMES.postgres),
    ports: [{ name: "postgres", port: PORTS.postgres, targetPort: "postgres", protocol: "TCP" }],
  };
}

/** The CronJob that dumps the database onto `claim` and keeps the newest `keep` dumps. */
export function backupSpec(
  args: PostgresPodArgs,
  backup: { readonly schedule: string; readonly keep: number },
): types.input.batch.v1.CronJobSpec {
  return cronJobSpec(backup.schedule, {
    metadata: { labels: labels("postgres", NAMES.mlflowBackup) },
    spec: {
      ...podDefaults("postgres", args, args.pullSecrets),
      restartPolicy: "Never",
      containers: [
        {
          ...container("backup", args),
          args: ["backup"],
          env: [
            ...plainEnv({
              PGHOST: NAMES.postgres,
              PGPORT: String(PORTS.postgres),
              PGUSER: "mlflow",
              LLMOPS_DATABASE: "mlflow",
              LLMOPS_BACKUP_FOLDER: BACKUP_FOLDER,
              LLMOPS_BACKUP_KEEP: String(backup.keep),
            }),
            secretEnv(PASSWORD_KEY, args.secret, "PGPASSWORD"),
          ],
          volumeMounts: [{ name: "backup", mountPath: BACKUP_FOLDER }, TMP],
        },
      ],
      volumes: [
        { name: "backup", persistentVolumeClaim: { claimName: args.claim } },
        { name: "tmp", emptyDir: {} },
      ],
    },
  });
}
