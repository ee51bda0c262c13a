import type { Fault } from "./faults";
import { setCommand } from "./faults";
import { frontDoorFaults } from "./frontDoorRules";
import type { Settings } from "./schema";
import { usedSources } from "./usedSources";

type Rule = (settings: Settings) => readonly Fault[];

const uniqueModelNames: Rule = ({ models }) =>
  models.flatMap(({ name }, index) => {
    const first = models.findIndex((other) => other.name === name);
    const key = `models[${String(index)}].name`;
    return first === index
      ? []
      : [
          {
            key,
            got: `"${name}", the name of models[${String(first)}] too`,
            allowed: "a name that no other model has",
            fix: setCommand(key, `${name}-2`),
          },
        ];
  });

const uniqueNodePorts: Rule = ({ models, mlflow, frontDoor, board }) => {
  const ports = [
    { key: "mlflow.service", service: mlflow.service },
    { key: "frontDoor.service", service: frontDoor.service },
    { key: "board.service", service: board.service },
    ...models.map(({ service }, index) => ({ key: `models[${String(index)}].service`, service })),
  ];
  return ports.flatMap(({ key, service }, index) => {
    if (service.nodePort === undefined) return [];
    if (service.type !== "NodePort") {
      return [
        {
          key: `${key}.nodePort`,
          got: `${String(service.nodePort)} with type ${service.type}`,
          allowed: "nodePort only with type NodePort",
          fix: setCommand(`${key}.type`, "NodePort"),
        },
      ];
    }
    const taken = ports
      .slice(0, index)
      .find((other) => other.service.nodePort === service.nodePort);
    return taken === undefined
      ? []
      : [
          {
            key: `${key}.nodePort`,
            got: `${String(service.nodePort)}, the port of ${taken.key} too`,
            allowed: "a port that no other Service has",
            fix: setCommand(`${key}.nodePort`, String(service.nodePort + 1)),
          },
        ];
  });
};

const replicaBounds: Rule = ({ models }) =>
  models.flatMap(({ replicas: { min, max } }, index) => {
    const key = `models[${String(index)}].replicas`;
    return min <= max
      ? []
      : [
          {
            key,
            got: `min ${String(min)}, max ${String(max)}`,
            allowed: "min at most max",
            fix: setCommand(`${key}.max`, String(min)),
          },
        ];
  });

const gpus: Rule = ({ images, models, training, board }) => {
  const users = [
    ...(board.enabled ? [{ key: "board", gpu: board.resources.gpu }] : []),
    ...(training === undefined ? [] : [{ key: "training", gpu: training.resources.gpu }]),
    ...models.map(({ resources }, index) => ({
      key: `models[${String(index)}]`,
      gpu: resources.gpu,
    })),
  ];
  return users.flatMap(({ key, gpu }) => {
    const path = `${key}.resources.gpu`;
    if (images.accelerator === "cuda" && gpu === 0) {
      return [
        {
          key: path,
          got: "0 with images.accelerator cuda",
          allowed: "at least 1",
          fix: setCommand(path, "1"),
        },
      ];
    }
    if (images.accelerator === "cpu" && gpu !== undefined && gpu > 0) {
      return [
        {
          key: path,
          got: `${String(gpu)} with images.accelerator cpu`,
          allowed: "0: the CPU images cannot use a GPU",
          fix: setCommand("images.accelerator", "cuda"),
        },
      ];
    }
    return [];
  });
};

const flashAttention: Rule = ({ images }) =>
  images.flashAttention && images.accelerator === "cpu"
    ? [
        {
          key: "images.flashAttention",
          got: "true with images.accelerator cpu",
          allowed: "false: FlashAttention needs CUDA",
          fix: setCommand("images.flashAttention", "false"),
        },
      ]
    : [];

const dcgmExporter: Rule = ({ images, training }) => {
  if (training?.dcgmExporter !== true) return [];
  if (images.accelerator === "cpu") {
    return [
      {
        key: "training.dcgmExporter",
        got: "true with images.accelerator cpu",
        allowed: "false: there is no GPU to watch",
        fix: setCommand("training.dcgmExporter", "false"),
      },
    ];
  }
  return images.dcgmExporter === undefined
    ? [
        {
          key: "images.dcgmExporter",
          got: "nothing, with training.dcgmExporter true",
          allowed: "the image of NVIDIA's dcgm-exporter, pinned by digest",
          fix: setCommand("images.dcgmExporter", "<name>@sha256:<digest>"),
        },
      ]
    : [];
};

const compileCaches: Rule = ({ images, models }) =>
  models.flatMap(({ compileCache }, index) => {
    if (!compileCache || images.accelerator === "cuda") return [];
    const key = `models[${String(index)}].compileCache`;
    return [
      {
        key,
        got: "true with images.accelerator cpu",
        allowed: "false: on a CPU nothing is compiled",
        fix: setCommand(key, "false"),
      },
    ];
  });

const trainedModels: Rule = ({ models, training }) =>
  usedSources({ models, training }).flatMap(({ key, source }) => {
    if (source.kind !== "training" || training !== undefined) return [];
    return [
      {
        key: `${key}.kind`,
        got: '"training" in a stack without training',
        allowed: "volume, or a training section",
        fix: setCommand("training.configFile", "<path of the training YAML>"),
      },
    ];
  });

const trainingDataClaim: Rule = ({ storage, training }) =>
  training?.data.kind === "volume" && storage.trainingData === undefined
    ? [
        {
          key: "storage.trainingData",
          got: "nothing",
          allowed: "a claim, since training.data.kind is volume",
          fix: setCommand("storage.trainingData.volume.kind", "storageClass"),
        },
      ]
    : [];

const hostPaths: Rule = ({ storage }) => {
  const paths = new Map<string, string>();
  return Object.entries(storage).flatMap(([name, claim]) => {
    if (claim?.volume.kind !== "hostPath") return [];
    const key = `storage.${name}.volume.path`;
    const other = paths.get(claim.volume.path);
    paths.set(claim.volume.path, key);
    return other === undefined
      ? []
      : [
          {
            key,
            got: `"${claim.volume.path}", the folder of ${other} too`,
            allowed: "a folder of its own",
            fix: setCommand(key, `${claim.volume.path}-2`),
          },
        ];
  });
};

const RULES: readonly Rule[] = [
  uniqueModelNames,
  uniqueNodePorts,
  replicaBounds,
  gpus,
  flashAttention,
  compileCaches,
  dcgmExporter,
  trainedModels,
  trainingDataClaim,
  hostPaths,
  frontDoorFaults,
];

/** Faults that only several settings together show. */
export function ruleFaults(settings: Settings): Fault[] {
  return RULES.flatMap((rule) => rule(settings));
}
