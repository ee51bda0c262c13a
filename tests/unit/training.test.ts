import fc from "fast-check";
import { parse } from "yaml";
import { runId, trainedModelFolder, trainingJobSpec, trainingYaml } from "../../workloads/training";
import { settingsOf, trainingTree } from "../support/settings";

const IMAGE = `registry.test/train@sha256:${"a".repeat(64)}`;
const CONFIG = { stage: "sft", do_train: true, dataset: "facts", learning_rate: 0.001 };

function training(change: object = {}) {
  const tree = trainingTree();
  const { training: settings } = settingsOf({
    ...tree,
    training: { ...(tree["training"] as object), ...change },
  });
  if (settings === undefined) throw new Error("the tree has a training section");
  return settings;
}

const identity = (change: Partial<Parameters<typeof runId>[0]> = {}) =>
  runId({
    config: CONFIG,
    data: { "a.json": "[]" },
    settings: training(),
    image: IMAGE,
    ...change,
  });

describe("the run id", () => {
  test("is ten hex digits and always the same", () => {
    expect(identity()).toMatch(/^[0-9a-f]{10}$/);
    expect(identity()).toBe(identity());
  });

  test.each<[string, Partial<Parameters<typeof runId>[0]>]>([
    ["the training file", { config: { ...CONFIG, learning_rate: 0.002 } }],
    ["the data", { data: { "a.json": "[1]" } }],
    ["the image", { image: IMAGE.replace("aaaa", "bbbb") }],
    ["the run label", { settings: training({ run: "2" }) }],
    [
      "the base model",
      { settings: training({ baseModel: { kind: "volume", path: "base/other" } }) },
    ],
  ])("changes with %s", (_, change) => {
    expect(identity(change)).not.toBe(identity());
  });

  test("does not change with resources, retries, placement or the registry's host", () => {
    const settings = training({ resources: { memory: "1Gi" }, backoffLimit: 3, timeoutMinutes: 5 });
    const image = IMAGE.replace("registry.test", "mirror.test");
    expect(identity({ settings, image })).toBe(identity());
  });

  test("does not change with the order of keys", () => {
    const shuffled = fc.shuffledSubarray(Object.entries(CONFIG), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(shuffled, (entries) => {
        expect(identity({ config: Object.fromEntries(entries) })).toBe(identity());
      }),
    );
  });
});

describe("the training file in the pod", () => {
  test("is what the user wrote and what the platform decides", () => {
    expect(parse(trainingYaml(CONFIG, training(), "0123456789"))).toEqual({
      ...CONFIG,
      model_name_or_path: "/models/base/model",
      dataset_dir: "/app/data",
      output_dir: "/app/output/0123456789",
      overwrite_output_dir: false,
      report_to: "none",
      run_name: "0123456789",
    });
  });

  test("keeps a folder of the user's below the volume", () => {
    const config = { ...CONFIG, output_dir: "/app/output/team" };
    expect(parse(trainingYaml(config, training(), "id"))).toMatchObject({
      output_dir: "/app/output/team/id",
    });
    expect(trainedModelFolder(config, true, "id")).toBe("team/id/merged");
  });

  test("reports to W&B when asked, never to MLflow from inside the trainer", () => {
    const settings = training({ tracking: { wandb: true } });
    expect(parse(trainingYaml(CONFIG, settings, "id"))).toMatchObject({ report_to: "wandb" });
  });

  test("finds data in a folder of the data volume", () => {
    const settings = training({ data: { kind: "volume", path: "facts" } });
    expect(parse(trainingYaml(CONFIG, settings, "id"))).toMatchObject({
      dataset_dir: "/app/data/facts",
    });
  });
});

test("a merged adapter is served from merged, a full model from the run's own folder", () => {
  expect(trainedModelFolder({ finetuning_type: "lora" }, true, "id")).toBe("id/merged");
  expect(trainedModelFolder({ finetuning_type: "full" }, true, "id")).toBe("id");
});

describe("the Job", () => {
  const spec = (
    change: object = {},
    accelerator: "cuda" | "cpu" = "cuda",
    more: Partial<TrainingPodArgs> = {},
  ) =>
    trainingJobSpec({
      files: { settings: training(change), config: CONFIG },
      runId: "0123456789",
      image: IMAGE,
      accelerator,
      pullSecrets: [],
      trackingUri: "http://mlflow:5000",
      claims: { modelOutput: "model-output-pvc", hubCache: undefined },
      dataVolume: { name: "x", configMap: { name: "data" } },
      secrets: SECRETS,
      identity: false,
      ...more,
    });
  const container = (job: ReturnType<typeof spec>) => {
    const template = job.template as {
      spec: { containers: { env: object[]; resources: object }[] };
    };
    const [first] = template.spec.containers;
    if (first === undefined) throw new Error("the pod has a container");
    return first;
  };

  test("retries once, has a deadline, and is never deleted by itself", () => {
    expect(spec({ timeoutMinutes: 90 })).toMatchObject({
      backoffLimit: 1,
      activeDeadlineSeconds: 5400,
      template: { spec: { restartPolicy: "Never" } },
    });
    expect(spec()).not.toHaveProperty("ttlSecondsAfterFinished");
  });

  test("asks for one GPU with cuda and for none with cpu", () => {
    expect(container(spec()).resources).toEqual({
      requests: { cpu: "4", memory: "32Gi", "nvidia.com/gpu": "1" },
      limits: { memory: "32Gi", "nvidia.com/gpu": "1" },
    });
    expect(container(spec({}, "cpu")).resources).toEqual({
      requests: { cpu: "4", memory: "32Gi" },
      limits: { memory: "32Gi" },
    });
  });

  test("reads secrets by reference", () => {
    expect(container(spec()).env).toContainEqual({
      name: "HF_TOKEN",
      valueFrom: { secretKeyRef: { name: "hf-secret-1", key: "HF_TOKEN" } },
    });
  });

  test("has a tracking URI only when MLflow is wanted", () => {
    const names = (change: object) =>
      container(spec(change)).env.map((variable) => (variable as { name: string }).name);
    expect(names({})).toContain("MLFLOW_TRACKING_URI");
    expect(names({ tracking: { mlflow: false } })).not.toContain("MLFLOW_TRACKING_URI");
  });
});
