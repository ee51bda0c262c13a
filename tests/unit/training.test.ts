import fc from "fast-check";
import { parse } from "yaml";
import type { TrainingPodArgs } from "../../workloads/training";
import { trainingJobSpec } from "../../workloads/trainingJob";
import { runId, trainedModelFolder, trainingYaml } from "../../workloads/trainingRun";
import { trainingPodArgs } from "../support/podArgs";
import { REMOTE_SOURCES, REVISION, trainingOf } from "../support/settings";

const IMAGE = `registry.test/train@sha256:${"a".repeat(64)}`;
const SECRETS = {
  HF_TOKEN: "hf-secret-1",
  ARTIFACTORY_URL: "artifactory-secret-1",
  ARTIFACTORY_PASSWORD: "artifactory-secret-1",
  GCS_KEY: "gcs-secret-1",
  WANDB_API_KEY: "wandb-secret-1",
};
const CONFIG = { stage: "sft", do_train: true, dataset: "facts", learning_rate: 0.001 };

const identity = (change: Partial<Parameters<typeof runId>[0]> = {}) =>
  runId({
    config: CONFIG,
    data: { "a.json": "[]" },
    settings: trainingOf(),
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
    ["the run label", { settings: trainingOf({ run: "2" }) }],
    ["the number of nodes", { settings: trainingOf({ nodes: 2 }) }],
    ["the number of GPUs", { settings: trainingOf({ resources: { gpu: 2 } }) }],
    ["DeepSpeed", { settings: trainingOf({ deepspeed: "zero2" }) }],
    [
      "the base model",
      { settings: trainingOf({ baseModel: { kind: "volume", path: "base/other" } }) },
    ],
  ])("changes with %s", (_, change) => {
    expect(identity(change)).not.toBe(identity());
  });

  test("does not change with resources, retries, placement or the registry's host", () => {
    const resources = { memory: "1Gi", gpu: 1 };
    const placement = { priorityClassName: "high" };
    const retries = { backoffLimit: 3, timeoutMinutes: 5 };
    const settings = trainingOf({ resources, placement, queue: "gpu", ...retries });
    const image = IMAGE.replace("registry.test", "mirror.test");
    expect(identity({ settings, image })).toBe(identity());
  });

  test.each<[string, object, object, boolean]>([
    ["revision", REMOTE_SOURCES.huggingface, { revision: REVISION.replace("0", "f") }, true],
    ["patterns", REMOTE_SOURCES.huggingface, { allowPatterns: ["*.json"] }, true],
    ["mirror", REMOTE_SOURCES.huggingface, { endpoint: "https://hub.test" }, false],
    ["gated", REMOTE_SOURCES.huggingface, { gated: true }, false],
    ["folder", REMOTE_SOURCES.download, { uri: "gs://acme-models/other" }, true],
    ["access", REMOTE_SOURCES.download, { access: "mount" }, false],
    ["checksum", REMOTE_SOURCES.artifactory, { sha256: "a".repeat(64) }, true],
  ])("base model, %s: %j with %j changes it: %s", (_, baseModel, change, changes) => {
    const before = identity({ settings: trainingOf({ baseModel }) });
    const after = identity({ settings: trainingOf({ baseModel: { ...baseModel, ...change } }) });
    expect(after !== before).toBe(changes);
  });

  test("does not change with the gate, which changes no weights, or with waiting", () => {
    const gate = [{ metric: "eval_loss", max: 1 }];
    expect(identity({ settings: trainingOf({ gate, await: false }) })).toBe(identity());
  });

  test("does not change with publishing or with how the download is sized", () => {
    const settings = trainingOf({
      publish: { kind: "gcs", target: "gs://acme-models/tuned" },
      registeredModel: "tuned",
      fetchResources: { memory: "4Gi" },
    });
    expect(identity({ settings })).toBe(identity());
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
    expect(parse(trainingYaml(CONFIG, trainingOf(), "0123456789"))).toEqual({
      ...CONFIG,
      disable_tqdm: true,
      enable_jit_checkpoint: true,
      model_name_or_path: "/models/base/model",
      dataset_dir: "/app/data",
      output_dir: "/app/output/0123456789",
      overwrite_output_dir: false,
      report_to: "none",
      run_name: "0123456789",
    });
  });

  test("does not overrule a user who wants bars, or no checkpoint when told to end", () => {
    const config = { ...CONFIG, disable_tqdm: false, enable_jit_checkpoint: false };
    expect(parse(trainingYaml(config, trainingOf(), "id"))).toMatchObject({
      disable_tqdm: false,
      enable_jit_checkpoint: false,
    });
  });

  test("keeps a folder of the user's below the volume", () => {
    const config = { ...CONFIG, output_dir: "/app/output/team" };
    expect(parse(trainingYaml(config, trainingOf(), "id"))).toMatchObject({
      output_dir: "/app/output/team/id",
    });
    expect(trainedModelFolder(config, true, "id")).toBe("team/id/merged");
  });

  test("reports to W&B when asked, never to MLflow from inside the trainer", () => {
    const settings = trainingOf({ tracking: { wandb: true } });
    expect(parse(trainingYaml(CONFIG, settings, "id"))).toMatchObject({ report_to: "wandb" });
  });

  test("keeps event files for TensorBoard when asked, beside W&B or alone", () => {
    const reporters = (tracking: object) =>
      (parse(trainingYaml(CONFIG, trainingOf({ tracking }), "id")) as { report_to: unknown })
        .report_to;
    expect(reporters({ tensorboard: true })).toBe("tensorboard");
    expect(reporters({ tensorboard: true, wandb: true })).toEqual(["wandb", "tensorboard"]);
    expect(identity({ settings: trainingOf({ tracking: { tensorboard: true } }) })).toBe(
      identity(),
    );
  });

  test("evaluates at the end when the gate asks for the loss on held-out data", () => {
    const evaluated = (gate: object[]) =>
      parse(trainingYaml(CONFIG, trainingOf({ gate }), "id")) as object;
    expect(evaluated([{ metric: "eval_loss", max: 1 }])).toHaveProperty("do_eval", true);
    const answers = { metric: "answers", min: 0.5, questions: "q.json" };
    expect(evaluated([answers])).not.toHaveProperty("do_eval");
  });

  test("finds data in a folder of the data volume", () => {
    const settings = trainingOf({ data: { kind: "volume", path: "facts" } });
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
    trainingJobSpec(
      trainingPodArgs(change, {
        files: { settings: trainingOf(change), config: CONFIG },
        image: IMAGE,
        accelerator,
        secrets: SECRETS,
        ...more,
      }),
    );
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

  const references = (job: ReturnType<typeof spec>) =>
    container(job).env.flatMap((variable) => {
      const { name, valueFrom } = variable as { name: string; valueFrom?: object };
      return valueFrom !== undefined && "secretKeyRef" in valueFrom ? [name] : [];
    });

  test("the trainer gets a secret only where it uses it itself", () => {
    expect(references(spec())).toEqual([]);
    expect(references(spec({ baseModel: REMOTE_SOURCES.huggingface }))).toEqual([]);
    expect(references(spec({ tracking: { wandb: true } }))).toEqual(["WANDB_API_KEY"]);
    const publish = { kind: "artifactory", target: "models/tuned" };
    expect(references(spec({ publish }))).toEqual(["ARTIFACTORY_URL", "ARTIFACTORY_PASSWORD"]);
  });

  test("the base model's download gets the token, and is told apart from failed training", () => {
    const job = spec({ baseModel: REMOTE_SOURCES.huggingface, fetchResources: { cpu: "2" } });
    expect(job).toMatchObject({
      podFailurePolicy: {
        rules: [
          { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] },
          { action: "Ignore", onExitCodes: { containerName: "fetch-model", values: [75] } },
          { action: "FailJob", onExitCodes: { containerName: "fetch-model", values: [2, 78] } },
          { action: "FailJob", onExitCodes: { containerName: "training" } },
        ],
      },
      template: {
        spec: {
          initContainers: [
            {
              name: "fetch-model",
              image: IMAGE,
              resources: { requests: { cpu: "2", memory: "1Gi" }, limits: { memory: "1Gi" } },
              volumeMounts: [{ name: "train-output", mountPath: "/models" }, { mountPath: "/tmp" }],
            },
          ],
        },
      },
    });
    expect(JSON.stringify(job)).toContain('{"name":"hf-secret-1","key":"HF_TOKEN"}');
  });

  test("wrong settings, wrong data and a gate that is not passed end the Job without a retry", () => {
    const operator = "In";
    expect(spec().podFailurePolicy).toEqual({
      rules: [
        { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
        {
          action: "FailJob",
          onExitCodes: { containerName: "training", operator, values: [2, 65, 78, 79] },
        },
      ],
    });
  });

  test("a failed publish is told apart from failed training", () => {
    const job = spec({ publish: { kind: "artifactory", target: "models/tuned" } });
    expect(job.podFailurePolicy).toMatchObject({
      rules: [
        { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] },
        { action: "Ignore", onExitCodes: { containerName: "training", values: [75] } },
        { action: "FailJob", onExitCodes: { containerName: "training", values: [2, 65, 78, 79] } },
      ],
    });
  });

  test("the gate travels in an annotation and is mounted beside the training file", () => {
    const gate = { thresholds: [{ metric: "eval_loss" as const, max: 1.2 }] };
    const files = { settings: trainingOf(), config: CONFIG, gate };
    const { template } = spec({}, "cpu", { files });
    expect(template).toMatchObject({
      metadata: { annotations: { "llmops.dev/gate": JSON.stringify(gate) } },
      spec: {
        volumes: expect.arrayContaining([
          {
            name: "config",
            downwardAPI: {
              items: [
                {
                  path: "train_config.yaml",
                  fieldRef: { fieldPath: "metadata.annotations['llmops.dev/train-config']" },
                },
                {
                  path: "gate.json",
                  fieldRef: { fieldPath: "metadata.annotations['llmops.dev/gate']" },
                },
              ],
            },
          },
        ]) as object,
      },
    });
    expect(container(spec({}, "cpu", { files })).env).toContainEqual({
      name: "LLMOPS_GATE",
      value: "/app/config/gate.json",
    });
    expect(JSON.stringify(spec())).not.toContain("LLMOPS_GATE");
  });

  test("a hub cache is a volume of its own, and the model output is not mounted over it", () => {
    const claims = { modelOutput: "model-output-pvc", hubCache: "hub-cache-pvc" };
    const job = spec({ baseModel: REMOTE_SOURCES.artifactory }, "cpu", { claims });
    const { volumeMounts } = container(job) as unknown as { volumeMounts: { mountPath: string }[] };
    expect(volumeMounts.filter(({ mountPath }) => mountPath.startsWith("/models"))).toEqual([
      { name: "hub-cache", mountPath: "/models/sources", readOnly: true },
    ]);
  });

  test("one key file serves the download and the upload", () => {
    const publish = { kind: "gcs", target: "gs://acme-models/tuned" };
    const job = spec({ baseModel: REMOTE_SOURCES.download, publish });
    const { volumes } = (job.template as { spec: { volumes: { name: string }[] } }).spec;
    expect(volumes.filter(({ name }) => name === "gcs-key")).toHaveLength(1);
    expect(container(job).env).toContainEqual({
      name: "GOOGLE_APPLICATION_CREDENTIALS",
      value: "/var/run/secrets/gcs/key.json",
    });
  });

  test.each<[object, object]>([
    [
      { kind: "gcs", target: "gs://acme-models/tuned" },
      { kind: "gcs", uri: "gs://acme-models/tuned" },
    ],
    [
      { kind: "gcs", target: "gs://b/t", endpoint: "http://gcs.test:4443", anonymous: true },
      { kind: "gcs", uri: "gs://b/t", endpoint: "http://gcs.test:4443", anonymous: true },
    ],
    [
      { kind: "artifactory", target: "models/tuned" },
      { kind: "artifactory", path: "models/tuned" },
    ],
  ])("publishing %j is told to the trainer without secrets", (publish, told) => {
    const variable = (name: string, change: object = {}) =>
      container(spec({ publish, ...change })).env.find(
        (each) => (each as { name: string }).name === name,
      ) as { value: string };
    expect(JSON.parse(variable("LLMOPS_PUBLISH").value)).toEqual(told);
    expect(variable("LLMOPS_REGISTERED_MODEL").value).toBe("llama-factory");
    expect(variable("LLMOPS_REGISTERED_MODEL", { experiment: "facts" }).value).toBe("facts");
    expect(variable("LLMOPS_REGISTERED_MODEL", { registeredModel: "tuned" }).value).toBe("tuned");
  });

  test("without publishing nothing of it is in the pod", () => {
    expect(JSON.stringify(spec())).not.toMatch(/LLMOPS_PUBLISH|LLMOPS_REGISTERED_MODEL/);
  });

  test("says what the run is made of", () => {
    const files = { settings: trainingOf(), config: CONFIG, data: { "a.json": "[]" } };
    const values = Object.fromEntries(
      (container(spec({}, "cpu", { files })).env as { name: string; value?: string }[]).map(
        ({ name, value }) => [name, value],
      ),
    );
    expect(values).toMatchObject({
      LLMOPS_IMAGE: IMAGE,
      LLMOPS_TRAINING_FILE: "examples/lumen7/lora.yaml",
      LLMOPS_DATA_FINGERPRINT: expect.stringMatching(/^[0-9a-f]{10}$/) as string,
    });
    expect(Object.keys(values)).not.toContain("LLMOPS_SYSTEM_METRICS");
  });

  test("tells of the commit, which makes no other run", () => {
    const files = { settings: trainingOf(), config: CONFIG, data: {}, commit: "0a" };
    const job = spec({}, "cpu", { files });
    expect(job.template).toMatchObject({
      metadata: { annotations: { "llmops.dev/commit": "0a" } },
    });
    expect(container(job).env).toContainEqual({
      name: "LLMOPS_COMMIT",
      valueFrom: { fieldRef: { fieldPath: "metadata.annotations['llmops.dev/commit']" } },
    });
    const id = runId({ ...files, image: IMAGE });
    const another = { ...files, commit: "0b", image: IMAGE };
    expect(runId(another)).toBe(id);
  });

  test("samples what the pod uses only where it can be told to MLflow", () => {
    const asked = (tracking: object) => JSON.stringify(spec({ tracking }));
    expect(asked({ systemMetrics: true })).toContain("LLMOPS_SYSTEM_METRICS");
    expect(asked({ systemMetrics: true, mlflow: false })).not.toContain("LLMOPS_SYSTEM_METRICS");
  });

  test("W&B offline keeps its files in the folder of the run, and needs no key", () => {
    const tracking = { wandb: true, wandbMode: "offline" };
    const { env } = container(spec({ tracking, experiment: "team/chat: v2" }));
    expect(env).toContainEqual({ name: "WANDB_MODE", value: "offline" });
    expect(env).toContainEqual({ name: "WANDB_DIR", value: "/app/output/0123456789" });
    expect(env).toContainEqual({ name: "WANDB_PROJECT", value: "team-chat- v2" });
    expect(references(spec({ tracking }))).toEqual([]);
    const yaml = parse(trainingYaml(CONFIG, trainingOf({ tracking }), "id")) as object;
    expect(yaml).toHaveProperty("report_to", "wandb");
  });

  test("event files for TensorBoard go into the folder of the run", () => {
    const { env } = container(spec({ tracking: { tensorboard: true } }));
    const value = "/app/output/0123456789/tensorboard";
    expect(env).toContainEqual({ name: "TENSORBOARD_LOGGING_DIR", value });
    expect(JSON.stringify(spec())).not.toContain("TENSORBOARD");
  });

  test("has a tracking URI only when MLflow is wanted", () => {
    const names = (change: object) =>
      container(spec(change)).env.map((variable) => (variable as { name: string }).name);
    expect(names({})).toContain("MLFLOW_TRACKING_URI");
    expect(names({ tracking: { mlflow: false } })).not.toContain("MLFLOW_TRACKING_URI");
  });
});
