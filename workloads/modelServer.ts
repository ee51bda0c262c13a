import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import { stringify } from "yaml";
import type { ModelSettings } from "../config/models";
import { isDownloaded } from "../config/sources";
import type { ModelClaims } from "./modelPieces";
import { modelPieces } from "./modelPieces";
import { PORTS, labels, modelServerName, selectorLabels } from "./names";
import {
  CONFIG_FOLDER,
  HOME,
  OFFLINE_ENV,
  PRIVATE_ENV,
  SKIP_AWAIT,
  containerDefaults,
  plainEnv,
  podDefaults,
  resourceRequirements,
  secretEnv,
} from "./pod";
import type { SecretNames } from "./pod";
import type { ServedRun } from "./servedRun";

const CONFIG_FILE = "inference.yaml";

/** Seconds that a pod goes on serving after it was told to end, so that its endpoint is gone. */
const PRE_STOP_SECONDS = 15;
/** Seconds that vLLM waits for requests under way. */
const SHUTDOWN_SECONDS = 45;
/** Seconds for the engine to end after that. */
const TEARDOWN_SECONDS = 15;

/** Options that the platform sets, whatever the stack says. */
const PLATFORM_OPTIONS = {
  host: "0.0.0.0",
  port: PORTS.modelServer,
  "shutdown-timeout": SHUTDOWN_SECONDS,
  "disable-access-log-for-endpoints": "/health,/metrics,/ping",
} as const;

/** The /app/config/inference.yaml of a model: options of `vllm serve`. */
export function inferenceYaml({ options }: Pick<ModelSettings, "options">): string {
  return stringify({ ...options, ...PLATFORM_OPTIONS });
}

/** What the pod of a model server is made of. */
export interface ModelServerPodArgs {
  readonly settings: ModelSettings;
  readonly accelerator: "cuda" | "cpu";
  readonly image: Input<string>;
  /** Path of the model in the container. */
  readonly modelPath: Input<string>;
  /** The training run that must be complete before the server starts. */
  readonly run?: ServedRun | undefined;
  readonly claims: ModelClaims;
  readonly configMap: Input<string>;
  readonly apiKeySecret: Input<string>;
  readonly pullSecrets: readonly string[];
  readonly secrets: SecretNames;
  /** Whether the pod acts as a Google service account. */
  readonly identity: boolean;
}

const OUTPUT_VOLUME = "model-storage";

function environment(args: ModelServerPodArgs): types.input.core.v1.EnvVar[] {
  const cpu: Record<string, string> =
    args.accelerator === "cpu"
      ? {
          VLLM_CPU_KVCACHE_SPACE: String(args.settings.cpuKvCacheGiB),
          VLLM_CPU_OMP_THREADS_BIND: "nobind",
          // On a CPU, torch.compile needs a C++ compiler, and the image has none.
          TORCHDYNAMO_DISABLE: "1",
        }
      : {};
  return [
    ...plainEnv({
      ...PRIVATE_ENV,
      ...OFFLINE_ENV,
      VLLM_NO_USAGE_STATS: "1",
      VLLM_CACHE_ROOT: `${HOME}/.cache/vllm`,
      VLLM_CONFIG_ROOT: `${HOME}/.config/vllm`,
      TRITON_CACHE_DIR: `${HOME}/.cache/triton`,
      TORCHINDUCTOR_CACHE_DIR: `${HOME}/.cache/inductor`,
      ...cpu,
    }),
    secretEnv("VLLM_API_KEY", args.apiKeySecret),
  ];
}

function probes(
  startupMinutes: number,
): Pick<types.input.core.v1.Container, "startupProbe" | "livenessProbe" | "readinessProbe"> {
  const httpGet = { path: "/health", port: "http" };
  return {
    startupProbe: {
      httpGet,
      periodSeconds: 5,
      timeoutSeconds: 5,
      failureThreshold: startupMinutes * 12,
    },
    livenessProbe: { httpGet, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    readinessProbe: { httpGet, periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 3 },
  };
}

function modelServerPod(args: ModelServerPodArgs): types.input.core.v1.PodTemplateSpec {
  const { settings, claims, run, modelPath } = args;
  const served = run && { run, modelPath };
  const pieces = modelPieces({ ...args, ...settings, served, outputVolume: OUTPUT_VOLUME });
  const { initContainers } = pieces;
  return {
    metadata: {
      labels: labels("inference", settings.name),
      annotations: {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": String(PORTS.modelServer),
        "prometheus.io/path": "/metrics",
        ...pieces.annotations,
      },
    },
    spec: {
      ...podDefaults("inference", settings, args.pullSecrets),
      terminationGracePeriodSeconds: PRE_STOP_SECONDS + SHUTDOWN_SECONDS + TEARDOWN_SECONDS,
      ...(initContainers.length > 0 ? { initContainers } : {}),
      containers: [
        {
          ...containerDefaults(),
          name: "inference",
          image: args.image,
          args: [
            "serve",
            args.modelPath,
            "--served-model-name",
            settings.servedName ?? settings.name,
            "--config",
            `${CONFIG_FOLDER}/${CONFIG_FILE}`,
          ],
          env: environment(args),
          ports: [{ name: "http", containerPort: PORTS.modelServer }],
          resources: resourceRequirements(settings.resources, args.accelerator),
          ...probes(settings.startupMinutes),
          lifecycle: { preStop: { sleep: { seconds: PRE_STOP_SECONDS } } },
          volumeMounts: [
            ...pieces.mounts,
            { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
            { name: "shm", mountPath: "/dev/shm" },
          ],
        },
      ],
      volumes: [
        ...(pieces.usesModelOutput ? [outputVolume(claims, isDownloaded(settings.source))] : []),
        ...pieces.volumes,
        { name: "config", configMap: { name: args.configMap } },
        { name: "shm", emptyDir: { medium: "Memory", sizeLimit: settings.resources.shm } },
      ],
    },
  };
}

/** The volume of `model-output-pvc`; read-only as a whole unless the pod downloads onto it. */
function outputVolume(claims: ModelClaims, written: boolean): types.input.core.v1.Volume {
  const claimName = claims.modelOutput;
  const persistentVolumeClaim = written ? { claimName } : { claimName, readOnly: true };
  return { name: OUTPUT_VOLUME, persistentVolumeClaim };
}

/** Longest time, in seconds, that a rollout of one pod may take: drain, image, download and load. */
export function rolloutSeconds({
  source,
  fetchMinutes,
  startupMinutes,
}: Pick<ModelSettings, "source" | "fetchMinutes" | "startupMinutes">): number {
  return (startupMinutes + (isDownloaded(source) ? fetchMinutes : 0)) * 60 + 600;
}

/** `pulumi up` does not wait for a server that waits for training itself. */
export function rolloutMetadata(run: ServedRun | undefined): {
  readonly annotations?: Readonly<Record<string, string>>;
} {
  return run !== undefined && run.minutes > 0 ? { annotations: SKIP_AWAIT } : {};
}

/** The Deployment of a model server. It has no `replicas`: those belong to the autoscaler. */
export function modelServerSpec(args: ModelServerPodArgs): types.input.apps.v1.DeploymentSpec {
  const { settings } = args;
  return {
    selector: { matchLabels: selectorLabels("inference", settings.name) },
    strategy: {
      type: "RollingUpdate",
      rollingUpdate: settings.surge
        ? { maxSurge: 1, maxUnavailable: 0 }
        : { maxSurge: 0, maxUnavailable: 1 },
    },
    progressDeadlineSeconds: rolloutSeconds(settings) + 60 * (args.run?.minutes ?? 0),
    revisionHistoryLimit: 3,
    template: modelServerPod(args),
  };
}

const DEFAULT_TARGETS = { queue: 5, cpu: 50 } as const;

function scalingMetric({
  metric,
  target = DEFAULT_TARGETS[metric],
}: ModelSettings["autoscaling"]): types.input.autoscaling.v2.MetricSpec {
  return metric === "queue"
    ? {
        type: "Pods",
        pods: {
          metric: { name: "vllm:num_requests_waiting" },
          target: { type: "AverageValue", averageValue: String(target) },
        },
      }
    : {
        type: "Resource",
        resource: { name: "cpu", target: { type: "Utilization", averageUtilization: target } },
      };
}

/** The autoscaler of a model server: up one pod at a time, down after five quiet minutes. */
export function autoscalerSpec(
  settings: ModelSettings,
): types.input.autoscaling.v2.HorizontalPodAutoscalerSpec {
  return {
    scaleTargetRef: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      name: modelServerName(settings.name),
    },
    minReplicas: settings.replicas.min,
    maxReplicas: settings.replicas.max,
    metrics: [scalingMetric(settings.autoscaling)],
    behavior: {
      scaleUp: {
        stabilizationWindowSeconds: 0,
        policies: [{ type: "Pods", value: 1, periodSeconds: 60 }],
      },
      scaleDown: {
        stabilizationWindowSeconds: 300,
        policies: [{ type: "Pods", value: 1, periodSeconds: 60 }],
      },
    },
  };
}
