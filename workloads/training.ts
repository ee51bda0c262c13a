import type { types } from "@pulumi/kubernetes";
import type { TrainingFiles } from "../config/load";
import type { TrainingSettings } from "../config/training";
import { isDownloadedData } from "../config/training";
import { OUTPUT_FOLDER } from "../config/trainingFile";
import { dcgmPieces } from "./dcgm";
import { deepspeedJson } from "./deepspeed";
import { trackingLogin } from "./mlflowAuth";
import { dataTarget } from "./fetch";
import type { ModelClaims, ModelPieces } from "./modelPieces";
import { downloadPieces, modelPieces } from "./modelPieces";
import { NAMES, labels } from "./names";
import {
  CONFIG_FOLDER,
  OFFLINE_ENV,
  PRIVATE_ENV,
  containerDefaults,
  plainEnv,
  podDefaults,
  resourceRequirements,
  secretEnvs,
} from "./pod";
import type { NamedVolume, SecretNames } from "./pod";
import { publishPieces } from "./publish";
import { subdomain, torchrunEnv } from "./trainingNodes";
import { DATA_FOLDER } from "./source";
import { DEEPSPEED_FILE, trainingYaml } from "./trainingRun";
import { trackingEnv, usesWandb } from "./trainingTracking";

/** Annotation of the pod that holds the training file; mounted as /app/config/train_config.yaml. */
export const CONFIG_ANNOTATION = "llmops.dev/train-config";

/** Annotation of the pod with the commit that it was made from. */
export const COMMIT_ANNOTATION = "llmops.dev/commit";

/**
 * Where a Job's `spec` has the commit. Pulumi is told to ignore changes of it: a Job that is made tells of its commit, and
 * another commit makes no Job anew.
 */
export const COMMIT_PATH = `template.metadata.annotations["${COMMIT_ANNOTATION}"]`;

/** Files in /app/config, and the annotations of the pod that hold them. */
const FILES = {
  config: { name: "train_config.yaml", annotation: CONFIG_ANNOTATION },
  gate: { name: "gate.json", annotation: "llmops.dev/gate" },
  deepspeed: { name: DEEPSPEED_FILE, annotation: "llmops.dev/deepspeed" },
} as const;

/** Name of the container that trains; Kubeflow Trainer wants its own for it. */
export function trainingContainer({ runner }: Pick<TrainingSettings, "runner">): string {
  return runner === "trainjob" ? "node" : "training";
}

const OUTPUT_VOLUME = "train-output";

/** What the training pod is made of. */
export interface TrainingPodArgs {
  readonly files: Omit<TrainingFiles, "data" | "commit"> & Partial<TrainingFiles>;
  readonly runId: string;
  readonly image: string;
  readonly accelerator: "cuda" | "cpu";
  readonly pullSecrets: readonly string[];
  readonly trackingUri: string;
  readonly claims: ModelClaims;
  /** Volume of /app/data; undefined where the data is downloaded. */
  readonly dataVolume: types.input.core.v1.Volume | undefined;
  readonly secrets: SecretNames;
  /** Whether the pod acts as a Google service account. */
  readonly identity: boolean;
  /** Image of dcgm-exporter; used where the settings want it. */
  readonly dcgmExporter?: string | undefined;
}

/** Environment of the training container. */
function environment(args: TrainingPodArgs): types.input.core.v1.EnvVar[] {
  const { runId: id, image, secrets } = args;
  const { settings } = args.files;
  return [
    ...plainEnv({
      ...PRIVATE_ENV,
      ...OFFLINE_ENV,
      RUN_ID: id,
      RUN_NAME: `${NAMES.trainingJob}-${id}`,
      LLMOPS_IMAGE: image,
      LLMOPS_RUN_LABEL: settings.run,
      LLMOPS_MERGE: String(settings.merge),
      ...(args.files.gate === undefined ? {} : { LLMOPS_GATE: pathOf("gate") }),
      ...trackingEnv(args),
    }),
    {
      name: "LLMOPS_COMMIT",
      valueFrom: { fieldRef: { fieldPath: `metadata.annotations['${COMMIT_ANNOTATION}']` } },
    },
    ...torchrunEnv(settings, id, args.accelerator),
    ...(settings.tracking.mlflow ? trackingLogin(secrets) : []),
    ...secretEnvs(usesWandb(settings.tracking) ? ["WANDB_API_KEY"] : [], secrets),
  ];
}

const pathOf = (file: keyof typeof FILES): string => `${CONFIG_FOLDER}/${FILES[file].name}`;

/** What the container finds in /app/config, by file. */
function contents({
  files,
  runId: id,
}: TrainingPodArgs): Partial<Record<keyof typeof FILES, string>> {
  const { settings, config, gate } = files;
  return {
    config: trainingYaml(config, settings, id),
    ...(gate === undefined ? {} : { gate: JSON.stringify(gate) }),
    ...(settings.deepspeed === "none" ? {} : { deepspeed: deepspeedJson(settings.deepspeed) }),
  };
}

/** Annotations that hold the files, and the volume that shows them to the container. */
function configPieces(args: TrainingPodArgs): {
  readonly annotations: Record<string, string>;
  readonly volume: types.input.core.v1.Volume;
} {
  const entries = Object.entries(contents(args)).map(([file, text]) => ({
    ...FILES[file as keyof typeof FILES],
    text,
  }));
  return {
    annotations: Object.fromEntries(entries.map(({ annotation, text }) => [annotation, text])),
    volume: {
      name: "config",
      downwardAPI: {
        items: entries.map(({ name, annotation }) => ({
          path: name,
          fieldRef: { fieldPath: `metadata.annotations['${annotation}']` },
        })),
      },
    },
  };
}

/** How the pod gets its data: by a download, or on a volume that is there. */
function dataPieces(
  args: TrainingPodArgs,
): Pick<ModelPieces, "initContainers" | "mounts" | "volumes"> {
  const { data: source, fetchResources } = args.files.settings;
  if (isDownloadedData(source)) {
    const target = dataTarget(source);
    return downloadPieces({ ...args, source, target, fetchResources, outputVolume: OUTPUT_VOLUME });
  }
  const name = "train-data";
  return {
    initContainers: [],
    mounts: [{ name, mountPath: DATA_FOLDER, readOnly: true }],
    volumes: [{ ...args.dataVolume, name }],
  };
}

/** The pod of the training Job. It carries its training file as an annotation. */
export function trainingPod(args: TrainingPodArgs): types.input.core.v1.PodTemplateSpec {
  const { files, runId: id, image } = args;
  const { settings } = files;
  const { baseModel: source, fetchResources, publish } = settings;
  const base = modelPieces({ ...args, source, fetchResources, outputVolume: OUTPUT_VOLUME });
  const upload = publishPieces(publish, settings, args);
  const dcgm = dcgmPieces(settings.dcgmExporter ? args.dcgmExporter : undefined);
  const data = dataPieces(args);
  const initContainers = [...base.initContainers, ...data.initContainers, ...dcgm.initContainers];
  const config = configPieces(args);
  return {
    metadata: {
      labels: { ...labels("training", NAMES.trainingJob), "llmops.dev/run": id },
      annotations: {
        [COMMIT_ANNOTATION]: files.commit ?? "",
        ...config.annotations,
        ...base.annotations,
        ...dcgm.annotations,
      },
    },
    spec: {
      ...podDefaults("training", settings, args.pullSecrets),
      restartPolicy: "Never",
      ...subdomain(settings),
      terminationGracePeriodSeconds: 60,
      ...(initContainers.length > 0 ? { initContainers } : {}),
      containers: [
        {
          ...containerDefaults(),
          name: trainingContainer(settings),
          image,
          args: ["train", pathOf("config")],
          env: [...environment(args), ...upload.env],
          resources: resourceRequirements(settings.resources, args.accelerator),
          volumeMounts: [
            { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
            ...data.mounts,
            { name: OUTPUT_VOLUME, mountPath: OUTPUT_FOLDER },
            ...base.mounts,
            ...upload.mounts,
            { name: "shm", mountPath: "/dev/shm" },
          ],
        },
      ],
      volumes: [
        config.volume,
        ...distinct([
          ...data.volumes,
          { name: OUTPUT_VOLUME, persistentVolumeClaim: { claimName: args.claims.modelOutput } },
          ...base.volumes,
          ...upload.volumes,
        ]),
        { name: "shm", emptyDir: { medium: "Memory", sizeLimit: settings.resources.shm } },
      ],
    },
  };
}

/** Base model, data and publishing may need the same key file. */
function distinct(volumes: readonly NamedVolume[]): NamedVolume[] {
  return [...new Map(volumes.map((volume) => [volume.name, volume])).values()];
}
