import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { AutoProvisioningSettings } from "./gcp";
import { gpuType } from "./gpuTypes";
import type { Settings } from "./schema";

/** Label by which a pod asks for nodes with a GPU of a type. */
export const GPU_LABEL = "cloud.google.com/gke-accelerator";

/** Label, and taint, of nodes that Google may take back. */
export const SPOT_LABEL = "cloud.google.com/gke-spot";

/** Label by which a pod asks for a driver on nodes that are made for it. */
const DRIVER_LABEL = "cloud.google.com/gke-gpu-driver-version";

/** Where a pod may run, as the settings give it. */
export type Placement = Settings["models"][number]["placement"];

/** Whether a pod may run on a node that Google may take back. */
export function toleratesSpot({ tolerations }: Pick<Placement, "tolerations">): boolean {
  return tolerations.some(
    ({ key, operator, value }) =>
      (key === undefined && operator === "Exists") ||
      (key === SPOT_LABEL && (operator === "Exists" || value === "true")),
  );
}

const LIMITS = "gcp.gke.autoProvisioning.gpus";

/** A pod that needs GPUs: the path of its settings, where it may run, and how many. */
interface GpuPod {
  readonly key: string;
  readonly placement: Placement;
  readonly count: number;
}

const tolerate = (key: string): string =>
  `${setCommand(`${key}.key`, SPOT_LABEL)} && ${setCommand(`${key}.operator`, "Exists")}`;

/** What keeps GKE from making a node for a pod, which would wait for one forever, without an error. */
export function provisioningFaults(
  { key, placement, count }: GpuPod,
  { gpus }: AutoProvisioningSettings,
): Fault[] {
  const {
    [GPU_LABEL]: wanted,
    [DRIVER_LABEL]: driver,
    [SPOT_LABEL]: spot,
  } = placement.nodeSelector;
  const selector = (label: string): string => `${key}.placement.nodeSelector["${label}"]`;
  const limit = gpus.find(({ gpu }) => gpu === wanted);
  if (limit === undefined) {
    const name = selector(GPU_LABEL);
    return [
      {
        key: name,
        got: wanted === undefined ? "nothing, and no pool that fits" : `"${wanted}"`,
        allowed: `a GPU of ${LIMITS}: ${gpus.map(({ gpu }) => gpu).join(" | ")}`,
        fix: setCommand(name, gpus[0]?.gpu ?? ""),
      },
    ];
  }
  const largest = Math.max(...Object.values(gpuType(limit.gpu).machines).flat());
  const most = Math.min(largest, limit.max);
  const latest = gpuType(limit.gpu).driver.toLowerCase();
  return [
    ...(count <= most
      ? []
      : [
          {
            key: `${key}.resources.gpu`,
            got: `${String(count)} of type ${limit.gpu}`,
            allowed: `at most ${String(most)}: ${limit.max < largest ? LIMITS : "no machine has more"}`,
            fix: setCommand(`${key}.resources.gpu`, String(most)),
          },
        ]),
    ...(driver === latest
      ? []
      : [
          {
            key: selector(DRIVER_LABEL),
            got: driver === undefined ? "nothing" : `"${driver}"`,
            allowed: `${latest}: the images hold a CUDA that the default driver may be too old for`,
            fix: setCommand(selector(DRIVER_LABEL), latest),
          },
        ]),
    ...(spot !== "true" || toleratesSpot(placement)
      ? []
      : [
          {
            key: `${key}.placement.tolerations`,
            got: `none of ${SPOT_LABEL}, which its nodeSelector asks for`,
            allowed: "a toleration: every Spot node has the taint of that name",
            fix: tolerate(`${key}.placement.tolerations[${String(placement.tolerations.length)}]`),
          },
        ]),
  ];
}

/** Faults of the limits themselves. */
export function limitFaults({ gpus }: AutoProvisioningSettings): Fault[] {
  return gpus.flatMap(({ gpu }, index) => {
    const first = gpus.findIndex((other) => other.gpu === gpu);
    const key = `${LIMITS}[${String(index)}].gpu`;
    return first === index
      ? []
      : [
          {
            key,
            got: `"${gpu}", as ${LIMITS}[${String(first)}]`,
            allowed: "one limit for each GPU",
            fix: removeCommand(`${LIMITS}[${String(index)}]`),
          },
        ];
  });
}
