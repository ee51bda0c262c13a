import { canaryFaults } from "../../config/canaryRules";
import { settingsSchema } from "../../config/schema";
import { settingsOf, validTree } from "../support/settings";

const source = { kind: "volume", path: "m" };
const stable = { name: "stable", servedName: "acme/stable", source };
const canary = (name: string, weight: number, change: object = {}) => ({
  name,
  source,
  canary: { of: "acme/stable", weight },
  ...change,
});
const tree = (models: object[], frontDoor: object) => ({ ...validTree(), models, frontDoor });
const faults = (models: object[], frontDoor: object = { enabled: true }) =>
  canaryFaults(settingsOf(tree(models, frontDoor)));
const set = (key: string, value: string) => `pulumi config set --path 'llmops:${key}' '${value}'`;

test("canaries of one model may take up to 99 percent together, and another model has its own", () => {
  const other = { name: "other", source };
  const its = { name: "its", source, canary: { of: "other", weight: 99 } };
  expect(faults([stable, canary("a", 90), canary("b", 9), other, its])).toEqual([]);
});

test.each([0, 100, 2.5])("a weight of %s is refused", (weight) => {
  const parsed = settingsSchema.safeParse(tree([stable, canary("a", weight)], {}));
  expect(parsed.error?.issues).toEqual([
    expect.objectContaining({ path: ["models", 1, "canary", "weight"] }),
  ]);
});

test.each<[string, object[], number, string, string]>([
  [
    "a model that does not exist",
    [stable, canary("a", 1, { canary: { of: "x", weight: 1 } })],
    1,
    "x",
    "acme/stable",
  ],
  [
    "a model by the name of its Deployment",
    [stable, canary("a", 1, { canary: { of: "stable", weight: 1 } })],
    1,
    "stable",
    "acme/stable",
  ],
  ["itself", [canary("a", 1, { canary: { of: "a", weight: 1 } }), stable], 0, "a", "acme/stable"],
  [
    "a canary",
    [stable, canary("a", 1), canary("b", 1, { canary: { of: "a", weight: 1 } })],
    2,
    "a",
    "acme/stable",
  ],
  [
    "an adapter",
    [
      { ...stable, adapters: [{ name: "lora", source }] },
      canary("a", 1, { canary: { of: "lora", weight: 1 } }),
    ],
    1,
    "lora",
    "acme/stable",
  ],
])("a canary of %s", (_, models, index, got, name) => {
  const key = `models[${String(index)}].canary.of`;
  expect(faults(models)).toEqual([
    {
      key,
      got: `"${got}"`,
      allowed: `the name in requests of another model that is no canary: ${name}`,
      fix: set(key, name),
    },
  ]);
});

test("a canary alone", () => {
  expect(faults([canary("a", 10)])).toEqual([
    {
      key: "models[0].canary.of",
      got: '"acme/stable"',
      allowed: "not set: there is no other model to be a canary of",
      fix: "pulumi config rm --path 'llmops:models[0].canary'",
    },
  ]);
});

test("weights that leave nothing to the model: said where it becomes too much", () => {
  const allowed = "less than 100 together: the rest is the model's own";
  expect(faults([canary("a", 60), stable, canary("b", 40), canary("c", 10)])).toEqual([
    {
      key: "models[2].canary.weight",
      got: '40, with 60 of other canaries of "acme/stable"',
      allowed,
      fix: set("models[2].canary.weight", "39"),
    },
    {
      key: "models[3].canary.weight",
      got: '10, with 100 of other canaries of "acme/stable"',
      allowed,
      fix: "pulumi config rm --path 'llmops:models[3].canary'",
    },
  ]);
});

test("a server with one name, or none to answer", () => {
  const change = { server: "llamafactory", replicas: { min: 0 } };
  expect(faults([stable, canary("a", 10, change)])).toEqual([
    {
      key: "models[1].server",
      got: '"llamafactory" with canary',
      allowed: "vllm: LLaMA-Factory's server answers to one name only",
      fix: set("models[1].server", "vllm"),
    },
    {
      key: "models[1].replicas.min",
      got: "0 with canary",
      allowed: "at least 1: requests for the other model do not wake it",
      fix: set("models[1].replicas.min", "1"),
    },
  ]);
});

test("without the front door nobody splits requests", () => {
  expect(faults([stable, canary("a", 10)], {})).toEqual([
    {
      key: "frontDoor.enabled",
      got: "false, with models[1].canary",
      allowed: "true: it is what splits the requests",
      fix: set("frontDoor.enabled", "true"),
    },
  ]);
});
