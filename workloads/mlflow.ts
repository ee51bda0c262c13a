import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { MlflowSettings } from "../config/schema";
import { NAMES, PORTS, labels, selectorLabels } from "./names";
import { HOME, containerDefaults, plainEnv, podDefaults, resourceRequirements } from "./pod";

const STORE = "/mlflow";

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

/** The tracking URI inside the cluster. */
export function trackingUri(namespace: string): string {
  return `http://${NAMES.mlflow}.${namespace}.svc:${String(PORTS.mlflow)}`;
}

/** Job execution would start a dozen idle processes, a GiB together, for features not used here. */
const ENVIRONMENT = {
  HOME,
  DO_NOT_TRACK: "1",
  MLFLOW_DISABLE_TELEMETRY: "true",
  MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
} as const;

/** What the pod of MLflow is made of. */
export interface MlflowPodArgs {
  readonly settings: MlflowSettings;
  readonly namespace: string;
  readonly image: Input<string>;
  readonly claim: Input<string>;
  readonly pullSecrets: readonly string[];
}

/** The Deployment of MLflow: one pod, since SQLite has one writer. */
export function mlflowSpec(args: MlflowPodArgs): types.input.apps.v1.DeploymentSpec {
  const { settings, namespace } = args;
  const httpGet = { path: "/health", port: "http" };
  return {
    replicas: 1,
    selector: { matchLabels: selectorLabels("mlflow", NAMES.mlflow) },
    strategy: { type: "Recreate" },
    template: {
      metadata: { labels: labels("mlflow", NAMES.mlflow) },
      spec: {
        ...podDefaults("mlflow", settings, args.pullSecrets),
        containers: [
          {
            ...containerDefaults(),
            name: "mlflow",
            image: args.image,
            args: [
              "server",
              "--host",
              "0.0.0.0",
              "--port",
              String(PORTS.mlflow),
              "--workers",
              "1",
              "--backend-store-uri",
              `sqlite:///${STORE}/mlflow.db`,
              "--artifacts-destination",
              `${STORE}/artifacts`,
              "--serve-artifacts",
              "--allowed-hosts",
              allowedHosts(namespace, settings.allowedHosts).join(","),
            ],
            env: plainEnv(ENVIRONMENT),
            ports: [{ name: "http", containerPort: PORTS.mlflow }],
            resources: resourceRequirements(settings.resources, "cpu"),
            startupProbe: { httpGet, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 150 },
            livenessProbe: { httpGet, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
            readinessProbe: { httpGet, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3 },
            volumeMounts: [
              { name: "store", mountPath: STORE },
              { name: "tmp", mountPath: "/tmp" },
            ],
          },
        ],
        volumes: [
          { name: "store", persistentVolumeClaim: { claimName: args.claim } },
          { name: "tmp", emptyDir: {} },
        ],
      },
    },
  };
}
