import type { Placement } from "./autoProvisioningRules";
import {
  GPU_LABEL,
  SPOT_LABEL,
  limitFaults,
  provisioningFaults,
  toleratesSpot,
} from "./autoProvisioningRules";
import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { GkeSettings, GpuPoolSettings } from "./gcp";
import type { GpuType } from "./gpuTypes";
import { GPU_NAMES, gpuType } from "./gpuTypes";
import type { Settings } from "./schema";

type Rule = (gke: GkeSettings, settings: Settings) => readonly Fault[];

const pools = (
  { gpuPools }: GkeSettings,
  rule: (pool: GpuPoolSettings, key: string, index: number) => readonly Fault[],
): Fault[] =>
  gpuPools.flatMap((pool, index) => [...rule(pool, `gcp.gke.gpuPools[${String(index)}]`, index)]);

const machines: Rule = (gke) =>
  pools(gke, ({ gpu, machineType, gpus, spot }, key) => {
    const row: GpuType = gpuType(gpu);
    const counts = row.machines[machineType];
    if (counts === undefined) {
      const owner = GPU_NAMES.find((name) => machineType in gpuType(name).machines);
      const other = owner === undefined ? "" : `, which has ${owner}`;
      const [first = ""] = Object.keys(row.machines);
      return [
        {
          key: `${key}.machineType`,
          got: `"${machineType}"${other}`,
          allowed: `a machine with ${gpu}: ${Object.keys(row.machines).join(", ")}`,
          fix: setCommand(`${key}.machineType`, first),
        },
      ];
    }
    if (row.spotOnly?.includes(machineType) === true && !spot) {
      return [
        {
          key: `${key}.spot`,
          got: "false",
          allowed: `true: ${machineType} is not sold on demand`,
          fix: setCommand(`${key}.spot`, "true"),
        },
      ];
    }
    const [only] = counts;
    const right = gpus === undefined ? counts.length === 1 : counts.includes(gpus);
    return right
      ? []
      : [
          {
            key: `${key}.gpus`,
            got: gpus === undefined ? "nothing" : String(gpus),
            allowed: `${counts.join(" | ")} with ${machineType}`,
            fix: setCommand(`${key}.gpus`, String(only)),
          },
        ];
  });

const poolBounds: Rule = (gke) => [
  ...pools(gke, ({ name, min, max }, key, index) => [
    ...(min <= max
      ? []
      : [
          {
            key: `${key}.max`,
            got: `min ${String(min)}, max ${String(max)}`,
            allowed: "min at most max",
            fix: setCommand(`${key}.max`, String(min)),
          },
        ]),
    ...(name !== "system" && gke.gpuPools.findIndex((pool) => pool.name === name) === index
      ? []
      : [
          {
            key: `${key}.name`,
            got: `"${name}", the name of another pool too`,
            allowed: "a name that no other pool has",
            fix: setCommand(`${key}.name`, `${name}-2`),
          },
        ]),
  ]),
  ...(gke.systemPool.min <= gke.systemPool.max
    ? []
    : [
        {
          key: "gcp.gke.systemPool.max",
          got: `min ${String(gke.systemPool.min)}, max ${String(gke.systemPool.max)}`,
          allowed: "min at most max",
          fix: setCommand("gcp.gke.systemPool.max", String(gke.systemPool.min)),
        },
      ]),
];

const zones: Rule = (gke, { gcp }) => {
  const region = gcp?.region;
  if (region === undefined) return [];
  const all = [
    { key: "gcp.gke.zones", given: gke.zones ?? [] },
    { key: "gcp.gke.autoProvisioning.zones", given: gke.autoProvisioning?.zones ?? [] },
    ...gke.gpuPools.map(({ zones: given = [] }, index) => ({
      key: `gcp.gke.gpuPools[${String(index)}].zones`,
      given,
    })),
  ];
  return all.flatMap(({ key, given }) =>
    given.flatMap((zone, index) =>
      zone.startsWith(`${region}-`)
        ? []
        : [
            {
              key: `${key}[${String(index)}]`,
              got: `"${zone}"`,
              allowed: `a zone of ${region}`,
              fix: setCommand(`${key}[${String(index)}]`, `${region}-a`),
            },
          ],
    ),
  );
};

const gpusOf = ({ gpu, machineType, gpus }: GpuPoolSettings): number =>
  gpus ?? gpuType(gpu).machines[machineType]?.[0] ?? 0;

/** Whether a pod that needs `count` GPUs can run on the machines of a pool. */
function fits(pool: GpuPoolSettings, placement: Placement, count: number): boolean {
  const { [GPU_LABEL]: gpu, [SPOT_LABEL]: spot } = placement.nodeSelector;
  return (
    count <= gpusOf(pool) &&
    (gpu === undefined || gpu === pool.gpu) &&
    (spot === undefined || spot === String(pool.spot)) &&
    (!pool.spot || toleratesSpot(placement))
  );
}

/** A pod that no pool can take waits forever, without an error. */
const roomForPods: Rule = (gke, { images, models, training }) => {
  if (images.accelerator === "cpu") return [];
  const users = [
    ...(training === undefined ? [] : [{ key: "training", ...training }]),
    ...models.map((model, index) => ({ key: `models[${String(index)}]`, ...model })),
  ];
  return users.flatMap(({ key, resources, placement }) => {
    const count = resources.gpu ?? 1;
    if (count === 0 || gke.gpuPools.some((pool) => fits(pool, placement, count))) return [];
    if (gke.autoProvisioning !== undefined) {
      return provisioningFaults({ key, placement, count }, gke.autoProvisioning);
    }
    const wanted = placement.nodeSelector[GPU_LABEL];
    const what = wanted === undefined ? "" : ` of type ${wanted}`;
    const next = `gcp.gke.gpuPools[${String(gke.gpuPools.length)}]`;
    return [
      {
        key: `${key}.resources.gpu`,
        got: `${String(count)}${what}, which no machine of gcp.gke.gpuPools can give`,
        allowed: `a pool with as many GPUs; for a Spot pool also a toleration of ${SPOT_LABEL}`,
        fix: setCommand(`${next}.machineType`, "<machine type>"),
      },
    ];
  });
};

const limits: Rule = ({ autoProvisioning }) =>
  autoProvisioning === undefined ? [] : limitFaults(autoProvisioning);

const RULES: readonly Rule[] = [machines, poolBounds, limits, zones, roomForPods];

/** Faults of the cluster that a stack makes. */
export function gkeFaults(settings: Settings): Fault[] {
  const { cluster, gcp } = settings;
  const gke = gcp?.gke;
  if (gke === undefined) {
    if (cluster.kind === "existing") return [];
    const allowed = "the cluster to make, since cluster.kind is gke";
    return [
      {
        key: "gcp.gke",
        got: "nothing",
        allowed,
        fix: setCommand("gcp.gke.name", "<cluster name>"),
      },
    ];
  }
  if (cluster.kind !== "gke") {
    const allowed = "not set: cluster.kind is existing";
    return [{ key: "gcp.gke", got: `"${gke.name}"`, allowed, fix: removeCommand("gcp.gke") }];
  }
  const kubeconfig: Fault[] =
    cluster.kubeconfig === undefined
      ? []
      : [
          {
            key: "cluster.kubeconfig",
            got: `"${cluster.kubeconfig}" with kind gke`,
            allowed: "not set: the cluster is reached by its own address",
            fix: removeCommand("cluster.kubeconfig"),
          },
        ];
  return [...kubeconfig, ...RULES.flatMap((rule) => rule(gke, settings))];
}
