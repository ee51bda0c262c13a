import type { types } from "@pulumi/kubernetes";
import type { MlflowPodArgs } from "./mlflow";
import { ENVIRONMENT, trackingUri } from "./mlflow";
import { trackingLogin } from "./mlflowAuth";
import { backendPieces, storePieces } from "./mlflowBackend";
import { NAMES, labels, selectorLabels } from "./names";
import { containerDefaults, plainEnv, podDefaults, resourceRequirements } from "./pod";
import { cronJobSpec } from "./cronJob";

type PodSpec = types.input.core.v1.PodSpec;

/** A ReadWriteOnce claim is mounted on one node, so what reads SQLite runs beside the server. */
const BESIDE_THE_SERVER: types.input.core.v1.Affinity = {
  podAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: [
      {
        topologyKey: "kubernetes.io/hostname",
        labelSelector: { matchLabels: selectorLabels("mlflow", NAMES.mlflow) },
      },
    ],
  },
};

function podSpec(args: MlflowPodArgs, olderThanDays: number): PodSpec {
  const { settings, namespace, secrets } = args;
  const { uri, env, sidecars } = backendPieces(settings, namespace, secrets);
  const sqlite = settings.backend.kind === "sqlite";
  const store = storePieces(sqlite ? args.claim : undefined);
  return {
    ...podDefaults("mlflow", settings, args.pullSecrets),
    restartPolicy: "Never",
    ...(sqlite ? { affinity: BESIDE_THE_SERVER } : {}),
    ...(sidecars.length > 0 ? { initContainers: sidecars } : {}),
    containers: [
      {
        ...containerDefaults(),
        name: "gc",
        image: args.image,
        args: ["gc", "--backend-store-uri", uri, "--older-than", `${String(olderThanDays)}d`],
        env: [
          // The server removes the artifacts: it alone reaches them.
          ...plainEnv({ ...ENVIRONMENT, MLFLOW_TRACKING_URI: trackingUri(namespace) }),
          ...env,
          ...trackingLogin(secrets),
        ],
        resources: resourceRequirements(settings.resources, "cpu"),
        volumeMounts: [...store.mounts, { name: "tmp", mountPath: "/tmp" }],
      },
    ],
    volumes: [...store.volumes, { name: "tmp", emptyDir: {} }],
  };
}

/** The CronJob that removes, for good, runs deleted long ago and their artifacts. */
export function gcSpec(
  args: MlflowPodArgs,
  gc: { readonly schedule: string; readonly olderThanDays: number },
): types.input.batch.v1.CronJobSpec {
  return cronJobSpec(gc.schedule, {
    metadata: { labels: labels("mlflow", NAMES.mlflowGc) },
    spec: podSpec(args, gc.olderThanDays),
  });
}
