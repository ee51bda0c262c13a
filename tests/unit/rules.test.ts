import { ruleFaults } from "../../config/rules";
import { sourceFaults } from "../../config/sourceRules";
import { IDENTITY, settingsOf, trainingTree, validTree } from "../support/settings";

const DCGM_IMAGE = `registry.test/dcgm-exporter@sha256:${"d".repeat(64)}`;

const model = (change: object = {}) => ({
  name: "base",
  source: { kind: "volume", path: "m" },
  ...change,
});
const rules = (change: object, base = validTree()) => {
  const settings = settingsOf({ ...base, ...change });
  return [...ruleFaults(settings), ...sourceFaults(settings)];
};
const classVolume = (change: object = {}) => ({
  storage: {
    modelOutput: { volume: { kind: "storageClass" }, ...change },
    mlflow: { volume: { kind: "storageClass" } },
  },
});

describe("settings that contradict each other", () => {
  test("none in the valid trees", () => {
    expect(rules({})).toEqual([]);
    expect(rules({}, trainingTree())).toEqual([]);
  });

  test("two models of one name", () => {
    expect(rules({ models: [model(), model()] })).toEqual([
      {
        key: "models[1].name",
        got: '"base", the name of models[0] too',
        allowed: "a name that no other model has",
        fix: "pulumi config set --path 'llmops:models[1].name' 'base-2'",
      },
    ]);
  });

  test("min above max", () => {
    expect(rules({ models: [model({ replicas: { min: 3, max: 2 } })] })).toEqual([
      {
        key: "models[0].replicas",
        got: "min 3, max 2",
        allowed: "min at most max",
        fix: "pulumi config set --path 'llmops:models[0].replicas.max' '3'",
      },
    ]);
  });

  test("ReadWriteOnce with replicas on several nodes", () => {
    expect(rules({ ...classVolume(), models: [model({ replicas: { min: 1, max: 4 } })] })).toEqual([
      {
        key: "models[0].replicas.max",
        got: "replicas.max 4 on a ReadWriteOnce claim, which only one node can mount",
        allowed: "one pod at a time, or a claim that several nodes can mount",
        fix: "pulumi config set --path 'llmops:storage.modelOutput.accessMode' 'ReadWriteMany'",
      },
    ]);
  });

  test("ReadWriteOnce with a rollout that starts a second pod", () => {
    const models = [model({ replicas: { min: 1, max: 1 }, surge: true })];
    expect(rules({ ...classVolume(), models })).toEqual([
      expect.objectContaining({ key: "models[0].surge" }),
    ]);
  });

  test("ReadWriteOnce where only an adapter is read from it", () => {
    const models = [
      model({
        source: { kind: "gcs", uri: "gs://b/m", access: "mount" },
        adapters: [{ name: "a", source: { kind: "volume", path: "a" } }],
      }),
    ];
    expect(rules({ ...classVolume(), ...IDENTITY, models })).toEqual([
      expect.objectContaining({ key: "models[0].replicas.max" }),
    ]);
  });

  test("several replicas are fine on one node, and on a shared claim", () => {
    const models = [model({ replicas: { min: 1, max: 4 } })];
    expect(rules({ models })).toEqual([]);
    expect(rules({ ...classVolume({ accessMode: "ReadWriteMany" }), models })).toEqual([]);
  });

  test.each([
    ["cuda", 0, "0 with images.accelerator cuda"],
    ["cpu", 1, "1 with images.accelerator cpu"],
  ])("accelerator %s with %i GPUs", (accelerator, gpu, got) => {
    const images = { accelerator, registry: "r", baseImage: "d:1" };
    expect(rules({ images, models: [model({ resources: { gpu } })] })).toEqual([
      expect.objectContaining({ key: "models[0].resources.gpu", got }),
    ]);
  });

  test("FlashAttention without CUDA", () => {
    const images = { accelerator: "cpu", registry: "r", baseImage: "d:1", flashAttention: true };
    expect(rules({ images })).toEqual([expect.objectContaining({ key: "images.flashAttention" })]);
  });

  test.each<[string, string, string | undefined, object[]]>([
    [
      "on a CPU",
      "cpu",
      DCGM_IMAGE,
      [
        {
          key: "training.dcgmExporter",
          got: "true with images.accelerator cpu",
          allowed: "false: there is no GPU to watch",
          fix: "pulumi config set --path 'llmops:training.dcgmExporter' 'false'",
        },
      ],
    ],
    [
      "without its image",
      "cuda",
      undefined,
      [
        {
          key: "images.dcgmExporter",
          got: "nothing, with training.dcgmExporter true",
          allowed: "the image of NVIDIA's dcgm-exporter, pinned by digest",
          fix: "pulumi config set --path 'llmops:images.dcgmExporter' '<name>@sha256:<digest>'",
        },
      ],
    ],
    ["with both", "cuda", DCGM_IMAGE, []],
  ])("dcgm-exporter %s", (_, accelerator, dcgmExporter, faults) => {
    const tree = trainingTree();
    const images = { accelerator, registry: "r", baseImage: "d:1", dcgmExporter };
    const training = { ...(tree["training"] as object), dcgmExporter: true };
    expect(rules({ images, training }, tree)).toEqual(faults);
  });

  test("LLaMA Board: GPUs and node port follow the same rules, where it is enabled", () => {
    const board = { resources: { gpu: 1 }, service: { type: "NodePort", nodePort: 30800 } };
    const models = [model({ service: { type: "NodePort", nodePort: 30800 } })];
    expect(rules({ board: { ...board, enabled: true }, models }).map(({ key }) => key)).toEqual([
      "models[0].service.nodePort",
      "board.resources.gpu",
    ]);
    expect(rules({ board: { resources: { gpu: 1 } } })).toEqual([]);
  });

  test("a trained model without training", () => {
    expect(rules({ models: [model({ source: { kind: "training" } })] })).toEqual([
      expect.objectContaining({
        key: "models[0].source.kind",
        got: '"training" in a stack without training',
      }),
    ]);
    const adapters = [{ name: "tuned", source: { kind: "training" } }];
    expect(rules({ models: [model({ adapters })] })).toEqual([
      expect.objectContaining({ key: "models[0].adapters[0].source.kind" }),
    ]);
  });

  test("a claim that is needed and not there", () => {
    const training = {
      configFile: "x",
      baseModel: { kind: "volume", path: "m" },
      data: { kind: "volume" },
    };
    expect(rules({ training }).map(({ key }) => key)).toEqual(["storage.trainingData"]);
  });

  test("one folder for two claims", () => {
    const volume = { kind: "hostPath", path: "/mnt/x", node: "n" };
    expect(rules({ storage: { modelOutput: { volume }, mlflow: { volume } } })).toEqual([
      expect.objectContaining({
        key: "storage.mlflow.volume.path",
        got: '"/mnt/x", the folder of storage.modelOutput.volume.path too',
      }),
    ]);
  });

  test("node ports", () => {
    const service = { type: "NodePort", nodePort: 30800 };
    expect(rules({ models: [model({ service }), model({ name: "b", service })] })).toEqual([
      expect.objectContaining({ key: "models[1].service.nodePort" }),
    ]);
    expect(rules({ mlflow: { service: { nodePort: 30500 } } })).toEqual([
      expect.objectContaining({
        key: "mlflow.service.nodePort",
        got: "30500 with type ClusterIP",
      }),
    ]);
  });
});
