import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { BoardSettings } from "../config/board";
import { OUTPUT_FOLDER } from "../config/trainingFile";
import type { ModelClaims } from "./modelPieces";
import { NAMES, PORTS, labels, selectorLabels } from "./names";
import {
  OFFLINE_ENV,
  PRIVATE_ENV,
  containerDefaults,
  plainEnv,
  podDefaults,
  resourceRequirements,
  secretEnvs,
} from "./pod";
import type { NamedVolume, SecretNames } from "./pod";
import { serviceSpec } from "./service";
import { MODELS_FOLDER, sourcesFolder } from "./source";
import { DATA_FOLDER } from "./source";

/** Folder of LLaMA Board's own files and of what is trained with it, on `model-output-pvc`. */
export const BOARD_FOLDER = `${OUTPUT_FOLDER}/board`;

/**
 * LLaMA Board writes to the folder it is started in, and looks for data sets in `data` there. By `-P` Python takes no
 * module from that folder, which users write to.
 */
const SCRIPT = [
  `mkdir -p ${BOARD_FOLDER}`,
  `cd ${BOARD_FOLDER}`,
  `ln -sfn ${DATA_FOLDER} data`,
  "exec /opt/venv/bin/python -P -m llmops_training.board",
].join(" && ");

const ENVIRONMENT = {
  ...PRIVATE_ENV,
  ...OFFLINE_ENV,
  GRADIO_SERVER_NAME: "0.0.0.0",
  GRADIO_SERVER_PORT: String(PORTS.board),
  GRADIO_ANALYTICS_ENABLED: "False",
} as const;

/** What the pod of LLaMA Board is made of. */
export interface BoardPodArgs {
  readonly settings: BoardSettings;
  readonly accelerator: "cuda" | "cpu";
  /** The training image. */
  readonly image: Input<string>;
  readonly claims: ModelClaims;
  /** Name of `training-data-pvc`, if the stack has one. */
  readonly dataClaim: Input<string> | undefined;
  /** Names of the Secrets, by key; one has BOARD_PASSWORD. */
  readonly secrets: SecretNames;
  readonly pullSecrets: readonly string[];
}

interface Storage {
  readonly mounts: types.input.core.v1.VolumeMount[];
  readonly volumes: NamedVolume[];
}

/** The volumes of a training pod: `model-output-pvc` may be written, all else is only read. */
function storage({ claims, dataClaim, settings }: BoardPodArgs): Storage {
  const output = "model-output";
  const shm = { medium: "Memory", sizeLimit: settings.resources.shm };
  const readOnly = (name: string, mountPath: string, claimName: Input<string> | undefined) =>
    claimName === undefined
      ? []
      : [
          {
            mount: { name, mountPath, readOnly: true },
            volume: { name, persistentVolumeClaim: { claimName, readOnly: true } },
          },
        ];
  const optional = [
    ...readOnly("hub-cache", sourcesFolder(MODELS_FOLDER), claims.hubCache),
    ...readOnly("train-data", DATA_FOLDER, dataClaim),
  ];
  return {
    mounts: [
      { name: output, mountPath: OUTPUT_FOLDER },
      ...optional.map(({ mount }) => mount),
      { name: "shm", mountPath: "/dev/shm" },
    ],
    volumes: [
      { name: output, persistentVolumeClaim: { claimName: claims.modelOutput } },
      ...optional.map(({ volume }) => volume),
      { name: "shm", emptyDir: shm },
    ],
  };
}

/** The Deployment of LLaMA Board: one pod, since its state is in its memory and in one folder. */
export function boardSpec(args: BoardPodArgs): types.input.apps.v1.DeploymentSpec {
  const { settings } = args;
  const { mounts, volumes } = storage(args);
  const httpGet = { path: "/", port: "http" };
  return {
    replicas: 1,
    selector: { matchLabels: selectorLabels("board", NAMES.board) },
    strategy: { type: "Recreate" },
    template: {
      metadata: { labels: labels("board", NAMES.board) },
      spec: {
        ...podDefaults("board", settings, args.pullSecrets),
        // Gradio does not listen to SIGTERM: waiting longer would only delay the next pod.
        terminationGracePeriodSeconds: 5,
        containers: [
          {
            ...containerDefaults(),
            name: "board",
            image: args.image,
            command: ["/bin/sh", "-c", SCRIPT],
            env: [...plainEnv(ENVIRONMENT), ...secretEnvs(["BOARD_PASSWORD"], args.secrets)],
            ports: [{ name: "http", containerPort: PORTS.board }],
            resources: resourceRequirements(settings.resources, args.accelerator),
            startupProbe: { httpGet, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 120 },
            livenessProbe: { httpGet, periodSeconds: 20, timeoutSeconds: 10, failureThreshold: 6 },
            readinessProbe: { httpGet, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3 },
            volumeMounts: mounts,
          },
        ],
        volumes,
      },
    },
  };
}

/** The Service. A node passes on only to its own pods, so that policies see who really asks. */
export function boardServiceSpec({
  service,
}: Pick<BoardSettings, "service">): types.input.core.v1.ServiceSpec {
  return {
    ...serviceSpec(service, selectorLabels("board", NAMES.board), PORTS.board),
    ...(service.type === "ClusterIP" ? {} : { externalTrafficPolicy: "Local" }),
  };
}

/** URL inside the cluster. */
export function boardUrl(namespace: string): string {
  return `http://${NAMES.board}.${namespace}.svc:${String(PORTS.board)}`;
}
