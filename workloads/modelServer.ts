import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { ModelSettings } from "../config/models";
import { answeredNames, loadMinutes } from "../config/models";
import type { ModelSource } from "../config/sources";
import type { CompilingServer } from "./compileCache";
import { CACHE_FOLDER, CACHE_VOLUME, keepEnv, keptPieces } from "./compileCache";
import type { ModelClaims, ModelPieces } from "./modelPieces";
import { joinPieces, modelPieces } from "./modelPieces";
import { PORTS, labels, selectorLabels } from "./names";
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
} from "./pod";
import { servedModel, waitMinutes } from "./servedRun";
import { servedTagsEnv } from "./servedTags";
import { SERVERS, SHUTDOWN_SECONDS } from "./servers";
import type { ServerArgs } from "./servers";

/** Seconds that a pod goes on serving after it was told to end, so that its endpoint is gone. */
const PRE_STOP_SECONDS = 15;
/** Seconds for the engine to end after the requests under way have. */
const TEARDOWN_SECONDS = 15;

/** What the pod of a model server is made of. */
export interface ModelServerPodArgs extends CompilingServer {
  readonly configMap: Input<string>;
  readonly pullSecrets: readonly string[];
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
      VLLM_CACHE_ROOT: `${CACHE_FOLDER}/vllm`,
      VLLM_CONFIG_ROOT: `${HOME}/.config/vllm`,
      TRITON_CACHE_DIR: `${CACHE_FOLDER}/triton`,
      TORCHINDUCTOR_CACHE_DIR: `${CACHE_FOLDER}/inductor`,
      ...cpu,
    }),
    ...SERVERS[args.settings.server].env(args),
    ...servedTagsEnv(args),
    ...keepEnv(args),
  ];
}

/** A pod that is loading is asked this often; the answer takes as long as one token at most. */
const STARTUP_PERIOD_SECONDS = 5;

/** Asks for one token by every name; the reason of a failure is in the pod's events. */
function smokeTest(settings: ModelSettings): Pick<types.input.core.v1.Probe, "exec"> {
  const python = ["/opt/venv/bin/python", "-S", "-m", "llmops_inference.smoke"];
  const chat = SERVERS[settings.server].chatOnly ? ["--chat"] : [];
  const names = answeredNames(settings);
  return { exec: { command: [...python, ...chat, String(PORTS.modelServer), ...names] } };
}

function probes(
  settings: ModelSettings,
): Pick<types.input.core.v1.Container, "startupProbe" | "livenessProbe" | "readinessProbe"> {
  const { startupMinutes, readyWhen } = settings;
  const httpGet = { path: SERVERS[settings.server].health, port: "http" };
  const startup =
    readyWhen === "answers"
      ? { ...smokeTest(settings), timeoutSeconds: 30 }
      : { httpGet, timeoutSeconds: 5 };
  return {
    startupProbe: {
      ...startup,
      periodSeconds: STARTUP_PERIOD_SECONDS,
      failureThreshold: (startupMinutes * 60) / STARTUP_PERIOD_SECONDS,
    },
    livenessProbe: { httpGet, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    readinessProbe: { httpGet, periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 3 },
  };
}

function scrapeAnnotations({ server }: ModelSettings): Record<string, string> {
  if (!SERVERS[server].metrics) return {};
  return {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": String(PORTS.modelServer),
    "prometheus.io/path": "/metrics",
  };
}

/** Replicas keep apart where there are nodes for it, so that one node takes few of them along. */
function spread({
  name,
  replicas,
}: ModelSettings): Pick<types.input.core.v1.PodSpec, "topologySpreadConstraints"> {
  if (replicas.max === 1) return {};
  return {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: selectorLabels("inference", name) },
        matchLabelKeys: ["pod-template-hash"],
      },
    ],
  };
}

/** The pieces for the model and for each of its adapters. */
function servedPieces(args: ModelServerPodArgs): ModelPieces {
  const { source, adapters, fetchResources } = args.settings;
  const common = { ...args, fetchResources, outputVolume: OUTPUT_VOLUME };
  const pieces = (of: ModelSource, adapter?: string): ModelPieces =>
    modelPieces({ ...common, source: of, adapter, served: servedModel(of, args.trained, adapter) });
  const models = [pieces(source), ...adapters.map((each) => pieces(each.source, each.name))];
  return joinPieces([...models, ...keptPieces(args, OUTPUT_VOLUME)]);
}

function modelServerPod(args: ModelServerPodArgs): types.input.core.v1.PodTemplateSpec {
  const { settings, claims } = args;
  const pieces = servedPieces(args);
  const { initContainers } = pieces;
  return {
    metadata: {
      labels: labels("inference", settings.name),
      annotations: { ...scrapeAnnotations(settings), ...pieces.annotations },
    },
    spec: {
      ...podDefaults("inference", settings, args.pullSecrets),
      ...spread(settings),
      terminationGracePeriodSeconds: PRE_STOP_SECONDS + SHUTDOWN_SECONDS + TEARDOWN_SECONDS,
      ...(initContainers.length > 0 ? { initContainers } : {}),
      containers: [
        {
          ...containerDefaults(),
          name: "inference",
          image: args.image,
          args: SERVERS[settings.server].args(args),
          env: environment(args),
          ports: [{ name: "http", containerPort: PORTS.modelServer }],
          resources: resourceRequirements(settings.resources, args.accelerator),
          ...probes(settings),
          lifecycle: { preStop: { sleep: { seconds: PRE_STOP_SECONDS } } },
          volumeMounts: [
            ...pieces.mounts,
            { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
            { name: CACHE_VOLUME, mountPath: CACHE_FOLDER },
            { name: "shm", mountPath: "/dev/shm" },
          ],
        },
      ],
      volumes: [
        ...outputVolume(claims, pieces),
        ...pieces.volumes,
        { name: "config", configMap: { name: args.configMap } },
        { name: CACHE_VOLUME, emptyDir: {} },
        { name: "shm", emptyDir: { medium: "Memory", sizeLimit: settings.resources.shm } },
      ],
    },
  };
}

/** The volume of `model-output-pvc`; read-only as a whole unless the pod downloads onto it. */
function outputVolume(
  { modelOutput: claimName }: ModelClaims,
  { modelOutput: use }: ModelPieces,
): types.input.core.v1.Volume[] {
  if (use === undefined) return [];
  const persistentVolumeClaim = use === "written" ? { claimName } : { claimName, readOnly: true };
  return [{ name: OUTPUT_VOLUME, persistentVolumeClaim }];
}

/** Longest time, in seconds, that a rollout of one pod may take: drain, image, download and load. */
export function rolloutSeconds(settings: Parameters<typeof loadMinutes>[0]): number {
  return loadMinutes(settings) * 60 + 600;
}

/** `pulumi up` does not wait for a server that waits for training itself. */
export function rolloutMetadata({ settings, trained }: Pick<ServerArgs, "settings" | "trained">): {
  readonly annotations?: Readonly<Record<string, string>>;
} {
  return waitMinutes(settings, trained) > 0 ? { annotations: SKIP_AWAIT } : {};
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
    progressDeadlineSeconds: rolloutSeconds(settings) + 60 * waitMinutes(settings, args.trained),
    revisionHistoryLimit: 3,
    template: modelServerPod(args),
  };
}

/** How many of a server's pods may be taken away at once by a drain; none is blocked for ever. */
export function disruptionBudgetSpec({
  name,
}: Pick<ModelSettings, "name">): types.input.policy.v1.PodDisruptionBudgetSpec {
  return {
    maxUnavailable: 1,
    unhealthyPodEvictionPolicy: "AlwaysAllow",
    selector: { matchLabels: selectorLabels("inference", name) },
  };
}
