import type { types } from "@pulumi/kubernetes";
import type { Input } from "@pulumi/pulumi";
import type { Role } from "./names";
import { serviceAccountName } from "./names";

/** User and group of all three images. */
export const USER_ID = 10001;

/** Home folder of that user, with its caches below. */
export const HOME = "/home/app";

/** Annotation of an object that `pulumi up` does not wait for. */
export const SKIP_AWAIT: Readonly<Record<string, string>> = { "pulumi.com/skipAwait": "true" };

/** Folder in which a container finds its run configuration. */
export const CONFIG_FOLDER = "/app/config";

type PodSpec = types.input.core.v1.PodSpec;
type Container = types.input.core.v1.Container;
type EnvVar = types.input.core.v1.EnvVar;

/** Settings that place a pod and size its container. */
export interface PodSettings {
  readonly placement: {
    readonly nodeSelector: Readonly<Record<string, string>>;
    readonly tolerations: readonly {
      readonly key?: string | undefined;
      readonly operator: "Exists" | "Equal";
      readonly value?: string | undefined;
      readonly effect?: "NoSchedule" | "PreferNoSchedule" | "NoExecute" | undefined;
    }[];
    readonly priorityClassName?: string | undefined;
  };
}

/** CPU, memory and GPUs, as the settings give them. */
export interface ResourceSettings {
  readonly cpu: string;
  readonly cpuLimit?: string | undefined;
  readonly memory: string;
  readonly gpu?: number | undefined;
  readonly gpuResource?: string | undefined;
}

/** Fields of a pod that satisfy Pod Security `restricted`, whatever runs in it. */
export function podDefaults(
  role: Role,
  settings: PodSettings,
  pullSecrets: readonly string[],
): Omit<PodSpec, "containers"> {
  const { nodeSelector, tolerations, priorityClassName } = settings.placement;
  return {
    // Service links would set VLLM_PORT and MLFLOW_PORT to tcp://…, which both programs read.
    enableServiceLinks: false,
    serviceAccountName: serviceAccountName(role),
    automountServiceAccountToken: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER_ID,
      runAsGroup: USER_ID,
      fsGroup: USER_ID,
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    },
    ...(Object.keys(nodeSelector).length > 0 ? { nodeSelector: { ...nodeSelector } } : {}),
    ...(tolerations.length > 0
      ? { tolerations: tolerations.map((toleration) => definedOnly(toleration)) }
      : {}),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    ...(pullSecrets.length > 0 ? { imagePullSecrets: pullSecrets.map((name) => ({ name })) } : {}),
  };
}

/** Fields of a container that satisfy Pod Security `restricted`. */
export function containerDefaults(): Omit<Container, "name"> {
  return {
    imagePullPolicy: "IfNotPresent",
    terminationMessagePolicy: "FallbackToLogsOnError",
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
    },
  };
}

/** GPUs of a container whose settings name no number. */
const DEFAULT_GPUS = { cuda: 1, cpu: 0 } as const;

/** GPUs of a container. */
export function gpuCount(
  { gpu }: Pick<ResourceSettings, "gpu">,
  accelerator: keyof typeof DEFAULT_GPUS,
): number {
  return gpu ?? DEFAULT_GPUS[accelerator];
}

/** Requests and limits: memory and GPUs are reserved whole, CPU may burst unless limited. */
export function resourceRequirements(
  settings: ResourceSettings,
  accelerator: keyof typeof DEFAULT_GPUS,
): types.input.core.v1.ResourceRequirements {
  const count = gpuCount(settings, accelerator);
  const { gpuResource = "nvidia.com/gpu" } = settings;
  const gpus: Record<string, string> = count > 0 ? { [gpuResource]: String(count) } : {};
  return {
    requests: { cpu: settings.cpu, memory: settings.memory, ...gpus },
    limits: {
      memory: settings.memory,
      ...(settings.cpuLimit === undefined ? {} : { cpu: settings.cpuLimit }),
      ...gpus,
    },
  };
}

/** A reference to a key of a Secret as an environment variable, called like the key by default. */
export function secretEnv(key: string, secret: Input<string>, name = key): EnvVar {
  return { name, valueFrom: { secretKeyRef: { name: secret, key } } };
}

/** Environment variables from a plain map, in the order given. */
export function plainEnv(values: Readonly<Record<string, string>>): EnvVar[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

/** Variables that keep telemetry off and every cache in a folder the user may write. */
export const PRIVATE_ENV: Readonly<Record<string, string>> = {
  HOME,
  HF_HOME: `${HOME}/.cache/huggingface`,
  XDG_CACHE_HOME: `${HOME}/.cache`,
  XDG_CONFIG_HOME: `${HOME}/.config`,
  HF_HUB_DISABLE_TELEMETRY: "1",
  DO_NOT_TRACK: "1",
};

/** Variables that keep a container from asking the hub for anything: its model is there already. */
export const OFFLINE_ENV: Readonly<Record<string, string>> = {
  HF_HUB_OFFLINE: "1",
  TRANSFORMERS_OFFLINE: "1",
};

/** A volume whose name is known. */
export type NamedVolume = types.input.core.v1.Volume & { readonly name: string };

/** Names of the Secrets that exist, by the key read from them. */
export type SecretNames = Readonly<Record<string, Input<string>>>;

/** References to those of `keys` that the stack has a Secret for. */
export function secretEnvs(keys: readonly string[], secrets: SecretNames): EnvVar[] {
  return keys.flatMap((key) => {
    const name = secrets[key];
    return name === undefined ? [] : [secretEnv(key, name)];
  });
}

function definedOnly<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
