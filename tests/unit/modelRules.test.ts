import { modelFaults } from "../../config/modelRules";
import { settingsOf, trainingTree, validTree } from "../support/settings";

const volume = { kind: "volume", path: "m" };
const model = (change: object = {}) => ({ name: "base", source: volume, ...change });
const cuda = { accelerator: "cuda", registry: "r", baseImage: "d:1" };
const faults = (models: object[], change: object = {}) =>
  modelFaults(settingsOf({ ...validTree(), models, ...change }));
const set = (key: string, value: string) => `pulumi config set --path 'llmops:${key}' '${value}'`;

test("nothing in the valid trees", () => {
  expect(modelFaults(settingsOf(validTree()))).toEqual([]);
  expect(modelFaults(settingsOf(trainingTree()))).toEqual([]);
});

describe("names that requests ask for", () => {
  const adapter = (name: string) => ({ name, source: volume });
  test.each<[string, object[], string, string]>([
    [
      "an adapter and its model",
      [model({ adapters: [adapter("base")] })],
      "models[0].adapters[0].name",
      "models[0].name",
    ],
    [
      "two adapters of two models",
      [model({ adapters: [adapter("x")] }), model({ name: "b", adapters: [adapter("x")] })],
      "models[1].adapters[0].name",
      "models[0].adapters[0].name",
    ],
    [
      "a served name and another model's name",
      [model(), model({ name: "b", servedName: "base" })],
      "models[1].servedName",
      "models[0].name",
    ],
  ])("%s", (_, models, key, other) => {
    expect(faults(models)).toEqual([
      expect.objectContaining({
        key,
        got: expect.stringContaining(`as ${other} is too`) as unknown,
        allowed: "a name that requests ask for nothing else by",
      }),
    ]);
  });

  test("two models of one name have their own fault", () => {
    expect(faults([model(), model()])).toEqual([]);
  });

  test("a model that is served by another name leaves its own free", () => {
    const other = model({ name: "b", adapters: [adapter("base")] });
    expect(faults([model({ servedName: "chat" }), other])).toEqual([]);
  });
});

describe("LLaMA-Factory's server", () => {
  const server = "llamafactory";
  test("cannot be scaled on its queue", () => {
    expect(faults([model({ server })])).toEqual([
      {
        key: "models[0].autoscaling.metric",
        got: '"queue" with server llamafactory',
        allowed: "cpu: LLaMA-Factory's server has no metrics to scale on",
        fix: set("models[0].autoscaling.metric", "cpu"),
      },
    ]);
    expect(faults([model({ server, autoscaling: { metric: "cpu" } })])).toEqual([]);
  });

  test("has no adapters by name", () => {
    const adapters = [{ name: "x", source: volume }];
    expect(faults([model({ server, adapters, autoscaling: { metric: "cpu" } })])).toEqual([
      expect.objectContaining({ key: "models[0].server", fix: set("models[0].server", "vllm") }),
    ]);
  });
});

describe("GPUs and parallelism", () => {
  const gpu = (count: number | undefined, options: object = {}) =>
    faults([model({ resources: { gpu: count }, options })], { images: cuda });

  test.each<[number | undefined, object]>([
    [undefined, {}],
    [1, { "tensor-parallel-size": 1 }],
    [4, { "tensor-parallel-size": 2, "pipeline-parallel-size": 2 }],
    [2, { "data-parallel-size": 2 }],
  ])("%p GPUs for %j", (count, options) => {
    expect(gpu(count, options)).toEqual([]);
  });

  test.each<[number | undefined, object, number, string]>([
    [2, {}, 1, set("models[0].options.tensor-parallel-size", "2")],
    [4, { "pipeline-parallel-size": 2 }, 2, set("models[0].options.tensor-parallel-size", "2")],
    [undefined, { "tensor-parallel-size": 4 }, 4, set("models[0].resources.gpu", "4")],
    [3, { "pipeline-parallel-size": 2 }, 2, set("models[0].resources.gpu", "2")],
  ])("%p GPUs do not fit %j", (count, options, wanted, fix) => {
    expect(gpu(count, options)).toEqual([
      expect.objectContaining({
        key: "models[0].resources.gpu",
        allowed: `as many GPUs as tensor-parallel-size × pipeline-parallel-size × data-parallel-size: ${String(wanted)}`,
        fix,
      }),
    ]);
  });

  test("on a CPU they do not count, and LLaMA-Factory takes all that it sees", () => {
    expect(faults([model({ options: { "tensor-parallel-size": 2 } })])).toEqual([]);
    const own = { server: "llamafactory", autoscaling: { metric: "cpu" } };
    expect(faults([model({ ...own, resources: { gpu: 2 } })], { images: cuda })).toEqual([]);
  });

  test("MIG slices cannot work together, and a CPU has none", () => {
    const gpuResource = "nvidia.com/mig-1g.10gb";
    const slices = (count: number) =>
      model({
        resources: { gpu: count, gpuResource },
        options: { "tensor-parallel-size": count },
      });
    expect(faults([slices(1)], { images: cuda })).toEqual([]);
    expect(faults([slices(2)], { images: cuda })).toEqual([
      expect.objectContaining({
        key: "models[0].resources.gpu",
        got: `2 of ${gpuResource}`,
        fix: set("models[0].resources.gpu", "1"),
      }),
    ]);
    expect(faults([model({ resources: { gpuResource } })])).toEqual([
      expect.objectContaining({ key: "models[0].resources.gpuResource" }),
    ]);
  });

  test("other resources than NVIDIA's are no GPUs of these images", () => {
    expect(() => gpu(1, {})).not.toThrow();
    expect(() => faults([model({ resources: { gpuResource: "amd.com/gpu" } })])).toThrow(
      /nvidia\.com/,
    );
  });
});
