import { ruleFaults } from "../../config/rules";
import { sourceFaults } from "../../config/sourceRules";
import { servedRunFaults } from "../../config/trainingFile";
import { unavailableFaults } from "../../config/unavailable";
import { IDENTITY, settingsOf, trainingTree, validTree } from "../support/settings";

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

  test("a trained model without training", () => {
    expect(rules({ models: [model({ source: { kind: "training" } })] })).toEqual([
      expect.objectContaining({
        key: "models[0].source.kind",
        got: '"training" in a stack without training',
      }),
    ]);
  });

  test("a claim that is needed and not there", () => {
    const training = {
      configFile: "x",
      baseModel: { kind: "volume", path: "m" },
      data: { kind: "volume" },
    };
    expect(rules({ training }).map(({ key }) => key)).toEqual(["storage.trainingData"]);
    const storage = { modelOutput: { volume: { kind: "existingClaim", name: "c" } } };
    expect(rules({ storage, models: [model({ replicas: { max: 1 } })] })).toEqual([
      expect.objectContaining({ key: "storage.mlflow", got: "nothing" }),
    ]);
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

  test("a bare adapter cannot be served", () => {
    const tree = trainingTree();
    const settings = settingsOf({
      ...tree,
      training: { ...(tree["training"] as object), merge: false },
    });
    expect(servedRunFaults(settings, { finetuning_type: "lora" })).toEqual([
      expect.objectContaining({ key: "training.merge" }),
    ]);
    expect(servedRunFaults(settings, { finetuning_type: "full" })).toEqual([]);
    expect(servedRunFaults(settingsOf(tree), { finetuning_type: "lora" })).toEqual([]);
  });
});

describe("a setting whose behaviour is not there is refused, never ignored", () => {
  const refused = (change: object, base = validTree()) =>
    unavailableFaults(settingsOf({ ...base, ...change })).map(({ key }) => key);
  const training = (change: object) => ({
    training: { ...(trainingTree()["training"] as object), ...change },
  });
  test.each<[string, object, string]>([
    ["llamafactory server", { models: [model({ server: "llamafactory" })] }, "models[0].server"],
    ["several nodes", training({ nodes: 2 }), "training.nodes"],
    ["gate", training({ gate: { metric: "eval_loss", max: 1 } }), "training.gate"],
    ["dcgm", training({ dcgmExporter: true }), "training.dcgmExporter"],
    ["postgres", { mlflow: { backend: { kind: "postgres" } } }, "mlflow.backend.kind"],
    ["cloudsql", { mlflow: { backend: { kind: "cloudsql" } } }, "mlflow.backend.kind"],
    ["bucket", { mlflow: { artifacts: { kind: "gcs", uri: "gs://b" } } }, "mlflow.artifacts.kind"],
    ["board", { board: { enabled: true } }, "board.enabled"],
    ["monitoring", { monitoring: { enabled: true } }, "monitoring.enabled"],
  ])("%s", (_, change, key) => {
    expect(refused(change)).toEqual([key]);
  });

  test("nothing in the valid trees", () => {
    expect(refused({})).toEqual([]);
    expect(refused({}, trainingTree())).toEqual([]);
    expect(refused(IDENTITY)).toEqual([]);
  });

  test("the command sets a value that works, or removes the setting", () => {
    const [fault] = unavailableFaults(settingsOf({ ...validTree(), board: { enabled: true } }));
    expect(fault).toEqual({
      key: "board.enabled",
      got: "true",
      allowed: "false: this version does not have LLaMA Board yet",
      fix: "pulumi config set --path 'llmops:board.enabled' 'false'",
    });
  });
});
