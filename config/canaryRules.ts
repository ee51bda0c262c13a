import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { Settings } from "./schema";

type Routed = Pick<Settings, "models" | "frontDoor">;
type Model = Routed["models"][number];

const ownName = ({ name, servedName }: Model): string => servedName ?? name;

/** Names that a model can be a canary of: those of the others that are no canaries themselves. */
function possible(models: Routed["models"], canary: Model): string[] {
  return models
    .filter((model) => model !== canary && model.canary === undefined)
    .map((model) => ownName(model));
}

function nameFaults(key: string, model: Model, models: Routed["models"]): Fault[] {
  const of = model.canary?.of ?? "";
  const names = possible(models, model);
  if (names.includes(of)) return [];
  const [first] = names;
  return [
    {
      key: `${key}.canary.of`,
      got: `"${of}"`,
      allowed:
        first === undefined
          ? "not set: there is no other model to be a canary of"
          : `the name in requests of another model that is no canary: ${names.join(", ")}`,
      fix:
        first === undefined
          ? removeCommand(`${key}.canary`)
          : setCommand(`${key}.canary.of`, first),
    },
  ];
}

/** A canary answers by two names, and is there to answer. */
function serverFaults(key: string, { server, replicas }: Model): Fault[] {
  return [
    ...(server === "vllm"
      ? []
      : [
          {
            key: `${key}.server`,
            got: `"${server}" with canary`,
            allowed: "vllm: LLaMA-Factory's server answers to one name only",
            fix: setCommand(`${key}.server`, "vllm"),
          },
        ]),
    ...(replicas.min > 0
      ? []
      : [
          {
            key: `${key}.replicas.min`,
            got: "0 with canary",
            allowed: "at least 1: requests for the other model do not wake it",
            fix: setCommand(`${key}.replicas.min`, "1"),
          },
        ]),
  ];
}

/** The other model keeps at least one percent; said at the canary that takes too much. */
function weightFaults(key: string, { canary }: Model, before: Routed["models"]): Fault[] {
  if (canary === undefined) return [];
  const taken = before.reduce(
    (sum, other) => sum + (other.canary?.of === canary.of ? other.canary.weight : 0),
    0,
  );
  if (taken + canary.weight < 100) return [];
  return [
    {
      key: `${key}.canary.weight`,
      got: `${String(canary.weight)}, with ${String(taken)} of other canaries of "${canary.of}"`,
      allowed: "less than 100 together: the rest is the model's own",
      fix:
        taken < 99
          ? setCommand(`${key}.canary.weight`, String(99 - taken))
          : removeCommand(`${key}.canary`),
    },
  ];
}

/** Faults of canaries: names and weights that make no sense, and nobody who would split requests. */
export function canaryFaults({ models, frontDoor }: Routed): Fault[] {
  const first = models.findIndex(({ canary }) => canary !== undefined);
  if (first < 0) return [];
  const faults = models.flatMap((model, index) => {
    if (model.canary === undefined) return [];
    const key = `models[${String(index)}]`;
    return [
      ...nameFaults(key, model, models),
      ...serverFaults(key, model),
      ...weightFaults(key, model, models.slice(0, index)),
    ];
  });
  if (frontDoor.enabled) return faults;
  const key = "frontDoor.enabled";
  const got = `false, with models[${String(first)}].canary`;
  const allowed = "true: it is what splits the requests";
  return [...faults, { key, got, allowed, fix: setCommand(key, "true") }];
}
