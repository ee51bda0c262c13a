import type { types } from "@pulumi/kubernetes";
import { stringify } from "yaml";
import { isDownloaded } from "../config/sources";
import type { TrainingSettings } from "../config/training";
import type { TrainingConfig } from "../config/trainingFile";
import { OUTPUT_FOLDER, trainsAdapter } from "../config/trainingFile";
import { dcgmPieces } from "./dcgm";
import { FETCH_EXIT } from "./fetch";
import { fingerprint } from "./fingerprint";
import { trackingLogin } from "./mlflowAuth";
import type { ModelClaims } from "./modelPieces";
import { modelPieces } from "./modelPieces";
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
import { modelPath, sourceIdentity } from "./source";

/** Folder with the data set and its dataset_info.json. */
export const DATA_FOLDER = "/app/data";

const CONFIG_FILE = "train_config.yaml";

/** Annotation of the pod that holds the training file; mounted as /app/config/train_config.yaml. */
export const CONFIG_ANNOTATION = "llmops.dev/train-config";

/** What makes a training run the run it is. */
export interface RunIdentity {
  readonly config: TrainingConfig;
  readonly data: Readonly<Record<string, string>> | undefined;
  readonly settings: Pick<TrainingSettings, "baseModel" | "data" | "run" | "merge">;
  /** Reference of the training image, by digest. */
  readonly image: string;
}

/**
 * The run id: 10 hex digits of a hash over everything that the result depends on.
 * The order of keys, comments and the registry's host do not count.
 */
export function runId({ config, data, settings, image }: RunIdentity): string {
  const { baseModel, data: dataSource, run, merge } = settings;
  const digest = image.slice(image.indexOf("@") + 1);
  const base = sourceIdentity(baseModel);
  return fingerprint({ config, data, dataSource, baseModel: base, run, merge, digest });
}

function runFolder(config: TrainingConfig, id: string): string {
  const folder = config["output_dir"];
  return `${typeof folder === "string" ? folder : OUTPUT_FOLDER}/${id}`;
}

/** The complete LLaMA-Factory file: what the user wrote, and what the platform decides. */
export function trainingYaml(
  config: TrainingConfig,
  settings: Pick<TrainingSettings, "baseModel" | "data" | "tracking">,
  id: string,
): string {
  const { baseModel, data, tracking } = settings;
  const folder = data.kind === "volume" && data.path !== undefined ? `/${data.path}` : "";
  return stringify({
    ...config,
    model_name_or_path: modelPath(baseModel),
    dataset_dir: `${DATA_FOLDER}${folder}`,
    output_dir: runFolder(config, id),
    overwrite_output_dir: false,
    // MLflow is fed from outside the trainer, so that a tracker that is away cannot fail a run.
    report_to: tracking.wandb ? "wandb" : "none",
    run_name: id,
  });
}

/** Folder of the model that a run ends with, on `model-output-pvc`. */
export function trainedModelFolder(config: TrainingConfig, merge: boolean, id: string): string {
  const folder = runFolder(config, id).slice(OUTPUT_FOLDER.length + 1);
  return merge && trainsAdapter(config) ? `${folder}/merged` : folder;
}

const TRAINING_CONTAINER = "training";
const OUTPUT_VOLUME = "train-output";

/** What the training pod is made of. */
export interface TrainingPodArgs {
  readonly files: { readonly settings: TrainingSettings; readonly config: TrainingConfig };
  readonly runId: string;
  readonly image: string;
  readonly accelerator: "cuda" | "cpu";
  readonly pullSecrets: readonly string[];
  readonly trackingUri: string;
  readonly claims: ModelClaims;
  /** Volume of /app/data. */
  readonly dataVolume: types.input.core.v1.Volume;
  readonly secrets: SecretNames;
  /** Whether the pod acts as a Google service account. */
  readonly identity: boolean;
  /** Image of dcgm-exporter; used where the settings want it. */
  readonly dcgmExporter?: string | undefined;
}

/** Environment of the training container. */
function environment(args: TrainingPodArgs): types.input.core.v1.EnvVar[] {
  const { runId: id, image, trackingUri, secrets } = args;
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
      ...(settings.tracking.mlflow
        ? { MLFLOW_TRACKING_URI: trackingUri, MLFLOW_EXPERIMENT_NAME: settings.experiment }
        : {}),
    }),
    ...(settings.tracking.mlflow ? trackingLogin(secrets) : []),
    ...secretEnvs(settings.tracking.wandb ? ["WANDB_API_KEY"] : [], secrets),
  ];
}

/** The pod of the training Job. It carries its training file as an annotation. */
export function trainingPod(args: TrainingPodArgs): types.input.core.v1.PodTemplateSpec {
  const { files, runId: id, image } = args;
  const { settings } = files;
  const { baseModel: source, fetchResources, publish } = settings;
  const base = modelPieces({ ...args, source, fetchResources, outputVolume: OUTPUT_VOLUME });
  const upload = publishPieces(publish, settings, args);
  const dcgm = dcgmPieces(settings.dcgmExporter ? args.dcgmExporter : undefined);
  const initContainers = [...base.initContainers, ...dcgm.initContainers];
  return {
    metadata: {
      labels: { ...labels("training", NAMES.trainingJob), "llmops.dev/run": id },
      annotations: {
        [CONFIG_ANNOTATION]: trainingYaml(files.config, settings, id),
        ...base.annotations,
        ...dcgm.annotations,
      },
    },
    spec: {
      ...podDefaults("training", settings, args.pullSecrets),
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 60,
      ...(initContainers.length > 0 ? { initContainers } : {}),
      containers: [
        {
          ...containerDefaults(),
          name: TRAINING_CONTAINER,
          image,
          args: ["train", `${CONFIG_FOLDER}/${CONFIG_FILE}`],
          env: [...environment(args), ...upload.env],
          resources: resourceRequirements(settings.resources, args.accelerator),
          volumeMounts: [
            { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
            { name: "train-data", mountPath: DATA_FOLDER, readOnly: true },
            { name: OUTPUT_VOLUME, mountPath: OUTPUT_FOLDER },
            ...base.mounts,
            ...upload.mounts,
            { name: "shm", mountPath: "/dev/shm" },
          ],
        },
      ],
      volumes: [
        {
          name: "config",
          downwardAPI: {
            items: [
              {
                path: CONFIG_FILE,
                fieldRef: { fieldPath: `metadata.annotations['${CONFIG_ANNOTATION}']` },
              },
            ],
          },
        },
        { ...args.dataVolume, name: "train-data" },
        { name: OUTPUT_VOLUME, persistentVolumeClaim: { claimName: args.claims.modelOutput } },
        ...distinct([...base.volumes, ...upload.volumes]),
        { name: "shm", emptyDir: { medium: "Memory", sizeLimit: settings.resources.shm } },
      ],
    },
  };
}

/** Base model and publishing may need the same key file. */
function distinct(volumes: readonly NamedVolume[]): NamedVolume[] {
  return [...new Map(volumes.map((volume) => [volume.name, volume])).values()];
}

/**
 * What ends a Job early and what does not count as a retry: an eviction, and a download or a
 * publish that may work later. One that cannot work before something is changed ends the Job at once.
 */
function failureRules(
  settings: Pick<TrainingSettings, "baseModel" | "publish">,
): types.input.batch.v1.PodFailurePolicyRule[] {
  const onExit = (
    containerName: string,
    action: string,
    values: number[],
  ): types.input.batch.v1.PodFailurePolicyRule => ({
    action,
    onExitCodes: { containerName, operator: "In", values },
  });
  const containers = [
    ...(isDownloaded(settings.baseModel) ? [NAMES.fetchContainer] : []),
    ...(settings.publish === undefined ? [] : [TRAINING_CONTAINER]),
  ];
  return [
    { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
    ...containers.flatMap((name) => [
      onExit(name, "Ignore", [FETCH_EXIT.retry]),
      onExit(name, "FailJob", [FETCH_EXIT.usage, FETCH_EXIT.config]),
    ]),
  ];
}

/** The Job around the pod: retries resume, evictions do not count, nothing deletes it by itself. */
export function trainingJobSpec(args: TrainingPodArgs): types.input.batch.v1.JobSpec {
  const { settings } = args.files;
  return {
    backoffLimit: settings.backoffLimit,
    activeDeadlineSeconds: settings.timeoutMinutes * 60,
    podFailurePolicy: { rules: failureRules(settings) },
    template: trainingPod(args),
  };
}
