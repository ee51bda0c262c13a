import { canaryFaults } from "./canaryRules";
import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { ModelSettings } from "./models";
import { servedNames } from "./models";
import { scalingFaults } from "./scalingRules";
import type { Settings } from "./schema";
import { optionFaults } from "./serverOptions";

type Rule = (settings: Settings) => readonly Fault[];

/** Applies a rule to each model, with the path of its settings. */
const eachModel =
  (rule: (key: string, model: ModelSettings, settings: Settings) => readonly Fault[]): Rule =>
  (settings) =>
    settings.models.flatMap((model, index) => rule(`models[${String(index)}]`, model, settings));

/** The settings that name what requests ask for. Models of one name have a fault of their own. */
const uniqueServedNames: Rule = ({ models }) => {
  const entries = models.flatMap((model, index) => {
    const key = `models[${String(index)}]`;
    const own = model.servedName === undefined ? "name" : "servedName";
    return servedNames(model).map((name, at) => ({
      key: at === 0 ? `${key}.${own}` : `${key}.adapters[${String(at - 1)}].name`,
      name,
      model: at === 0 && own === "name",
    }));
  });
  return entries.flatMap(({ key, name, model }, index) => {
    const other = entries.slice(0, index).find((each) => each.name === name);
    if (other === undefined || (model && other.model)) return [];
    return [
      {
        key,
        got: `"${name}", as ${other.key} is too`,
        allowed: "a name that requests ask for nothing else by",
        fix: setCommand(key, `${name}-2`),
      },
    ];
  });
};

const llamafactory = eachModel((key, { server, adapters, autoscaling }) => {
  if (server !== "llamafactory") return [];
  const faults: Fault[] = [];
  if (adapters.length > 0) {
    faults.push({
      key: `${key}.server`,
      got: '"llamafactory" with adapters',
      allowed: "vllm: LLaMA-Factory's server answers to one name only",
      fix: setCommand(`${key}.server`, "vllm"),
    });
  }
  if (autoscaling.metric === "queue") {
    faults.push({
      key: `${key}.autoscaling.metric`,
      got: '"queue" with server llamafactory',
      allowed: "cpu: LLaMA-Factory's server has no metrics to scale on",
      fix: setCommand(`${key}.autoscaling.metric`, "cpu"),
    });
  }
  return faults;
});

const PARALLEL = ["tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size"] as const;

const parallelism = eachModel((key, { server, options, resources }, { images }) => {
  if (server !== "vllm" || images.accelerator === "cpu" || resources.gpu === 0) return [];
  const sizes = PARALLEL.map((name) => Number(options[name] ?? 1));
  const gpus = resources.gpu ?? 1;
  const wanted = sizes.reduce((product, size) => product * size, 1);
  if (wanted === gpus) return [];
  const [tensor, ...others] = PARALLEL;
  const rest = wanted / Number(options[tensor] ?? 1);
  const mendsTensor = options[tensor] === undefined && gpus % rest === 0;
  return [
    {
      key: `${key}.resources.gpu`,
      got: `${String(gpus)}, with ${PARALLEL.map((name, at) => `${name} ${String(sizes[at])}`).join(", ")}`,
      allowed: `as many GPUs as ${tensor} × ${others.join(" × ")}: ${String(wanted)}`,
      fix: mendsTensor
        ? setCommand(`${key}.options.${tensor}`, String(gpus / rest))
        : setCommand(`${key}.resources.gpu`, String(wanted)),
    },
  ];
});

const gpuSlices: Rule = ({ images, models, training }) => {
  const users = [
    ...(training === undefined ? [] : [{ key: "training", resources: training.resources }]),
    ...models.map(({ resources }, index) => ({ key: `models[${String(index)}]`, resources })),
  ];
  return users.flatMap(({ key, resources: { gpu = 1, gpuResource } }) => {
    if (gpuResource === undefined) return [];
    const path = `${key}.resources`;
    if (images.accelerator === "cpu") {
      return [
        {
          key: `${path}.gpuResource`,
          got: `"${gpuResource}" with images.accelerator cpu`,
          allowed: "not set: the CPU images cannot use a GPU",
          fix: removeCommand(`${path}.gpuResource`),
        },
      ];
    }
    if (!gpuResource.includes("mig-") || gpu <= 1) return [];
    return [
      {
        key: `${path}.gpu`,
        got: `${String(gpu)} of ${gpuResource}`,
        allowed: "1: MIG slices cannot work together; take a larger slice or whole GPUs",
        fix: setCommand(`${path}.gpu`, "1"),
      },
    ];
  });
};

const RULES: readonly Rule[] = [
  uniqueServedNames,
  optionFaults,
  llamafactory,
  parallelism,
  gpuSlices,
  scalingFaults,
  canaryFaults,
];

/** Faults of the models to serve that only several settings, or the server itself, show. */
export function modelFaults(settings: Settings): Fault[] {
  return RULES.flatMap((rule) => rule(settings));
}
