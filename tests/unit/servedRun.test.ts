import * as pulumi from "@pulumi/pulumi";
import { sourceFaults } from "../../config/sourceRules";
import { trainingFaults } from "../../config/trainingRules";
import { modelServerSpec, rolloutMetadata } from "../../workloads/modelServer";
import { servedModel } from "../../workloads/servedRun";
import { settled } from "../support/outputs";
import { settingsOf, trainingTree, validTree } from "../support/settings";

const OLD = "aaaaaaaaaa";
const NEW = "0123456789";

function tree(model: object = {}, training: object = {}) {
  const base = trainingTree();
  return settingsOf({
    ...base,
    models: [{ name: "tuned", source: { kind: "training" }, ...model }],
    training: { ...(base["training"] as object), ...training },
  });
}

function served(source: object, training: object = {}, config: Record<string, unknown> = {}) {
  const settings = tree({ source }, training);
  const [model] = settings.models;
  if (model === undefined || settings.training === undefined) throw new Error("both are there");
  const trained = { settings: settings.training, config, runId: pulumi.output(NEW) };
  return { model, trained, ...servedModel(model.source, trained) };
}

const value = (input: pulumi.Input<string>): Promise<string> =>
  (pulumi.output(input) as unknown as { promise(): Promise<string> }).promise();

test("the run of the stack is served after its Job, which pulumi waits for", async () => {
  const { modelPath, run, afterTraining } = served({ kind: "training" });
  expect(await value(modelPath)).toBe(`/models/${NEW}/merged`);
  expect({ run, afterTraining }).toEqual({ run: undefined, afterTraining: true });
});

test("an earlier run is looked for at once, and the Job has no part in it", async () => {
  const config = { output_dir: "/app/output/team" };
  const { modelPath, run, afterTraining } = served({ kind: "training", run: OLD }, {}, config);
  expect(await value(modelPath)).toBe(`/models/team/${OLD}/merged`);
  expect(run).toEqual({ runs: "/models/team", id: OLD, minutes: 0 });
  expect(afterTraining).toBe(false);
});

test("with await false the server waits for the run as long as the run may take", async () => {
  const training = { await: false, timeoutMinutes: 90 };
  const { run, afterTraining } = served({ kind: "training" }, training);
  expect(run).toMatchObject({ runs: "/models", minutes: 90 });
  expect(await value(run?.id ?? "")).toBe(NEW);
  expect(afterTraining).toBe(false);
});

test("other sources have nothing to do with training", () => {
  const { run, afterTraining, modelPath } = served({ kind: "volume", path: "base/m" });
  expect({ run, afterTraining, modelPath }).toEqual({
    run: undefined,
    afterTraining: false,
    modelPath: "/models/base/m",
  });
});

describe("the pod", () => {
  const pod = (source: object, training: object = {}) => {
    const { model, trained } = served(source, training);
    return modelServerSpec({
      stack: settingsOf(validTree()),
      settings: model,
      trained,
      accelerator: "cpu",
      image: "i",
      claims: { modelOutput: "model-output-pvc", hubCache: undefined },
      configMap: "c",
      apiKeySecret: "k",
      pullSecrets: [],
      secrets: {},
      identity: false,
    });
  };

  test("looks before the server starts, and can write nothing", async () => {
    expect(await settled(pod({ kind: "training", run: OLD }))).toMatchObject({
      progressDeadlineSeconds: 2400,
      template: {
        spec: {
          initContainers: [
            {
              name: "check-run",
              command: ["/opt/models/bin/python", "-m", "llmops_models"],
              args: [
                ...["run", "--runs", "/models", "--id", OLD],
                ...["--model", `/models/${OLD}/merged`, "--minutes", "0"],
              ],
              volumeMounts: [{ name: "model-storage", mountPath: "/models", readOnly: true }],
            },
          ],
          volumes: expect.arrayContaining([
            {
              name: "model-storage",
              persistentVolumeClaim: { claimName: "model-output-pvc", readOnly: true },
            },
          ]) as object,
        },
      },
    });
  });

  test("has time for the run with await false, and pulumi does not wait", () => {
    const training = { await: false, timeoutMinutes: 90 };
    expect(pod({ kind: "training" }, training)).toMatchObject({
      progressDeadlineSeconds: 2400 + 5400,
    });
    const metadata = (source: object): object => {
      const { model, trained } = served(source, training);
      return rolloutMetadata({ settings: model, trained });
    };
    expect(metadata({ kind: "training" })).toEqual({
      annotations: { "pulumi.com/skipAwait": "true" },
    });
    expect(metadata({ kind: "training", run: OLD })).toEqual({});
  });

  test("has no check where pulumi has waited", async () => {
    expect(JSON.stringify(await settled(pod({ kind: "training" })))).not.toContain("check-run");
  });
});

test("with await false the old pod must go on serving", () => {
  expect(trainingFaults(tree({}, { await: false }))).toEqual([
    {
      key: "models[0].surge",
      got: "false, with training.await false",
      allowed: "true: nothing would be served while the new pod waits for the run",
      fix: "pulumi config set --path 'llmops:models[0].surge' 'true'",
    },
  ]);
  const earlier = { source: { kind: "training", run: OLD } };
  expect(trainingFaults(tree(earlier, { await: false }))).toEqual([]);
  expect(trainingFaults(tree({ surge: true, replicas: { max: 1 } }, { await: false }))).toEqual([]);
  const adapters = [{ name: "tuned-adapter", source: { kind: "training" } }];
  const asAdapter = { source: { kind: "volume", path: "base/m" }, adapters };
  expect(trainingFaults(tree(asAdapter, { await: false })).map(({ key }) => key)).toEqual([
    "models[0].surge",
  ]);
  expect(sourceFaults(tree())).toEqual([]);
});
