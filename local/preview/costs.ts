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
    readonly template?: PodTemplate;
    readonly replicas?: number;
    readonly parallelism?: number;
    readonly minReplicas?: number;
    readonly maxReplicas?: number;
    readonly scaleTargetRef?: { readonly name?: string };
    readonly resources?: { readonly requests?: { readonly storage?: string } };
  };
  readonly nodeConfig?: { readonly machineType?: string };
  readonly autoscaling?: { readonly maxNodeCount?: number };
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
  const workloads = there
    .filter(({ kind }) => ["Deployment", "StatefulSet", "Job"].includes(kind))
    .map(({ name, state }) => workload(name, inputsOf(state), scalers));
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

function workload(
  name: string,
  { metadata, spec }: Inputs,
  scalers: readonly Inputs["spec"][],
): { name: string; gpus: number; pods: number; model: string | undefined } {
  const containers = spec?.template?.spec?.containers ?? [];
  const gpus = containers.reduce(
    (sum, { resources }) => sum + Number(resources?.limits?.["nvidia.com/gpu"] ?? 0),
    0,
  );
  const scaler = scalers.find((each) => each?.scaleTargetRef?.name === (metadata?.name ?? name));
  const pods = scaler?.maxReplicas ?? spec?.replicas ?? spec?.parallelism ?? 1;
  const args = containers.flatMap(({ args: given = [] }) => given);
  return { name, gpus, pods, model: args[0] === "serve" ? args[1] : undefined };
}

function sizeFacts(kind: string, name: string, { spec, nodeConfig, autoscaling }: Inputs): Fact[] {
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
          `at most ${String(autoscaling?.maxNodeCount)} ${nodeConfig?.machineType ?? ""}`,
        ],
      ];
    default:
      return [];
  }
}
