import { kindOf, nameOf } from "./steps.ts";
import type { ResourceState, Step } from "./steps.ts";

/** Something of a stack that costs money or changes what users get: what it is about, and its value. */
type Fact = readonly [subject: string, value: string];

interface PodTemplate {
  readonly spec?: {
    readonly containers?: readonly {
      readonly args?: readonly string[];
      readonly resources?: { readonly limits?: Readonly<Record<string, string | number>> };
    }[];
  };
}

interface Inputs {
  readonly metadata?: { readonly name?: string };
  readonly spec?: {
    readonly template?: PodTemplate & {
      readonly spec?: { readonly replicatedJobs?: readonly { readonly template?: Inputs }[] };
    };
    readonly replicas?: number;
    readonly parallelism?: number;
    readonly minReplicas?: number;
    readonly maxReplicas?: number;
    readonly scaleTargetRef?: { readonly name?: string };
    readonly resources?: { readonly requests?: { readonly storage?: string } };
  };
  readonly nodeConfig?: { readonly machineType?: string };
  readonly clusterAutoscaling?: {
    readonly resourceLimits?: readonly {
      readonly resourceType?: string;
      readonly maximum?: number;
    }[];
  };
  readonly autoscaling?: { readonly totalMaxNodeCount?: number };
}

/** The facts of a stack before or after the change: values by subject, such as `GPUs at most`. */
export function facts(
  steps: readonly Step[],
  when: "oldState" | "newState",
): ReadonlyMap<string, string> {
  const there = steps.flatMap((step) => {
    const state = step[when];
    return state === undefined ? [] : [{ kind: kindOf(step), name: nameOf(step.urn), state }];
  });
  const scalers = there
    .filter(({ kind }) => kind === "HorizontalPodAutoscaler")
    .map(({ state }) => inputsOf(state).spec);
  const workloads = there.flatMap(({ kind, name, state }) =>
    podsOf(kind, inputsOf(state)).map((inputs) => workload(name, inputs, scalers)),
  );
  const total = workloads.reduce((sum, { gpus, pods }) => sum + gpus * pods, 0);
  return new Map<string, string>([
    ["GPUs at most", String(total)],
    ...workloads.flatMap(({ name, gpus, pods, model }): Fact[] => [
      ...(gpus === 0 ? [] : [[`GPUs of ${name}`, `${String(pods)} × ${String(gpus)}`] as const]),
      ...(model === undefined ? [] : [[`Model of ${name}`, model] as const]),
    ]),
    ...there.flatMap(({ kind, name, state }) => sizeFacts(kind, name, inputsOf(state))),
  ]);
}

function inputsOf({ inputs }: ResourceState): Inputs {
  return inputs ?? {};
}

/** What of an object runs pods: itself, or the Jobs that a runtime of Kubeflow Trainer is made of. */
function podsOf(kind: string, inputs: Inputs): readonly Inputs[] {
  if (["Deployment", "StatefulSet", "Job"].includes(kind)) return [inputs];
  const jobs = kind === "TrainingRuntime" ? inputs.spec?.template?.spec?.replicatedJobs : undefined;
  return (jobs ?? []).flatMap(({ template }) => (template === undefined ? [] : [template]));
}

function workload(
  name: string,
  { metadata, spec }: Inputs,
  scalers: readonly Inputs["spec"][],
): { name: string; gpus: number; pods: number; model: string | undefined } {
  const containers = spec?.template?.spec?.containers ?? [];
  const gpus = containers
    .flatMap(({ resources }) => Object.entries(resources?.limits ?? {}))
    .filter(([resource]) => resource.startsWith("nvidia.com/"))
    .reduce((sum, [, count]) => sum + Number(count), 0);
  const scaler = scalers.find((each) => each?.scaleTargetRef?.name === (metadata?.name ?? name));
  const pods = scaler?.maxReplicas ?? spec?.replicas ?? spec?.parallelism ?? 1;
  const args = containers.flatMap(({ args: given = [] }) => given);
  return { name, gpus, pods, model: servedModel(args) };
}

/** The folder of the model that a server is started with; undefined for other containers. */
function servedModel([command, target, ...others]: readonly string[]): string | undefined {
  if (command === "serve") return target;
  const key = "model_name_or_path=";
  const given = command === "api" ? others.find((each) => each.startsWith(key)) : undefined;
  return given?.slice(key.length);
}

function sizeFacts(kind: string, name: string, inputs: Inputs): Fact[] {
  const { spec, nodeConfig, autoscaling, clusterAutoscaling } = inputs;
  switch (kind) {
    case "HorizontalPodAutoscaler":
      return [
        [
          `Replicas of ${spec?.scaleTargetRef?.name ?? name}`,
          `${String(spec?.minReplicas)} to ${String(spec?.maxReplicas)}`,
        ],
      ];
    case "PersistentVolumeClaim":
      return [[`Size of ${name}`, spec?.resources?.requests?.storage ?? ""]];
    case "NodePool":
      return [
        [
          `Machines of ${name}`,
          `at most ${String(autoscaling?.totalMaxNodeCount)} ${nodeConfig?.machineType ?? ""}`,
        ],
      ];
    case "Cluster":
      return (clusterAutoscaling?.resourceLimits ?? []).map(({ resourceType = "", maximum }) => [
        `Limit of ${resourceType} in ${name}`,
        String(maximum),
      ]);
    default:
      return [];
  }
}
