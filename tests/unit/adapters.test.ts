import * as pulumi from "@pulumi/pulumi";
import { parse } from "yaml";
import { servedNames } from "../../config/models";
import { usedSources } from "../../config/usedSources";
import type { ModelServerPodArgs } from "../../workloads/modelServer";
import { modelServerSpec, rolloutSeconds } from "../../workloads/modelServer";
import { afterTraining } from "../../workloads/servedRun";
import { SERVERS } from "../../workloads/servers";
import { modelPath } from "../../workloads/source";
import { settled } from "../support/outputs";
import { modelServerArgs } from "../support/podArgs";
import { REMOTE_SOURCES, modelOf, settingsOf, sourceTree } from "../support/settings";

const adapters = [
  { name: "tuned", source: { kind: "training" } },
  { name: "copied", source: REMOTE_SOURCES.artifactory },
];

const TRAINED = {
  settings: {
    merge: false,
    await: true,
    timeoutMinutes: 60,
    tracking: {
      mlflow: true,
      systemMetrics: false,
      wandb: false,
      wandbMode: "online" as const,
      tensorboard: false,
    },
  },
  config: { finetuning_type: "lora", output_dir: "/app/output/lumen7" },
  runId: pulumi.output("0123456789"),
};

const template = (change: object, claims: Partial<ModelServerPodArgs["claims"]> = {}) =>
  settled(
    modelServerSpec(
      modelServerArgs(change, {
        trained: TRAINED,
        claims: { modelOutput: "model-output-pvc", hubCache: undefined, ...claims },
        identity: true,
      }),
    ).template,
  );

const copied = modelPath(
  settingsOf(sourceTree(REMOTE_SOURCES.artifactory)).models[0]?.source ?? { kind: "training" },
  "/adapters/copied",
);

test("vLLM gets each adapter by name and folder, and room for them in a batch", async () => {
  const pod = await template({ adapters });
  expect(pod).toMatchObject({
    spec: {
      containers: [
        {
          args: [
            "serve",
            "/models/m",
            "--served-model-name",
            "base",
            "--config",
            "/app/config/inference.yaml",
            "--lora-modules",
            "tuned=/adapters/tuned/lumen7/0123456789",
            `copied=${copied}`,
          ],
        },
      ],
    },
  });
  expect(parse(SERVERS.vllm.yaml(modelOf({ adapters })))).toMatchObject({
    "enable-lora": true,
    "max-loras": 2,
  });
});

test.each<[number, object, number]>([
  [1, {}, 1],
  [6, {}, 4],
  [6, { "max-loras": 6 }, 6],
])("%i adapters with options %j: %i in a batch", (count, options, loras) => {
  const many = Array.from({ length: count }, (_, index) => ({
    ...adapters[0],
    name: `a${String(index)}`,
  }));
  expect(parse(SERVERS.vllm.yaml(modelOf({ adapters: many, options })))).toMatchObject({
    "max-loras": loras,
  });
});

test("without adapters nothing of it is there", () => {
  expect(SERVERS.vllm.yaml(modelOf())).not.toContain("lora");
});

test("each adapter that is downloaded has an init container and a folder of its own", async () => {
  const pod = await template({ source: REMOTE_SOURCES.huggingface, adapters });
  expect(pod).toMatchObject({
    spec: {
      initContainers: [
        { name: "fetch-model" },
        {
          name: "fetch-adapter-copied",
          args: expect.arrayContaining(["--to", copied]) as unknown,
          volumeMounts: [
            { name: "model-storage", mountPath: "/adapters/copied" },
            { name: "fetch-tmp", mountPath: "/tmp" },
          ],
        },
      ],
      containers: [
        {
          volumeMounts: expect.arrayContaining([
            { name: "model-storage", mountPath: "/models", readOnly: true },
            { name: "model-storage", mountPath: "/adapters/tuned", readOnly: true },
            { name: "model-storage", mountPath: "/adapters/copied", readOnly: true },
          ]) as unknown,
        },
      ],
    },
  });
});

test("no volume is there twice, and none is mounted inside of another", async () => {
  const mixed = [
    ...adapters,
    { name: "bucket-a", source: REMOTE_SOURCES.mount },
    { name: "bucket-b", source: REMOTE_SOURCES.mount },
  ];
  const change = { source: REMOTE_SOURCES.mount, adapters: mixed };
  const { spec } = (await template(change, { hubCache: "hub-cache-pvc" })) as {
    spec: {
      volumes: { name: string }[];
      containers: { volumeMounts: { mountPath: string }[] }[];
    };
  };
  const names = spec.volumes.map(({ name }) => name);
  expect(names).toEqual([...new Set(names)]);
  expect(names).toEqual(
    expect.arrayContaining(["model-storage", "hub-cache", "model-bucket", "bucket-bucket-a"]),
  );
  const paths = spec.containers.flatMap(({ volumeMounts }) => volumeMounts).map((m) => m.mountPath);
  for (const path of paths) {
    expect(paths.filter((other) => other.startsWith(`${path}/`))).toEqual([]);
  }
});

test("an adapter is a source like any other: its secrets, its way out, its time", () => {
  const tree = { models: [{ name: "base", source: { kind: "volume", path: "m" }, adapters }] };
  const settings = settingsOf({ ...sourceTree({}), ...tree });
  expect(usedSources(settings)).toEqual([
    expect.objectContaining({ key: "models[0].source", model: "base" }),
    expect.objectContaining({ key: "models[0].adapters[0].source", model: "base" }),
    expect.objectContaining({ key: "models[0].adapters[1].source", model: "base" }),
  ]);
  expect(rolloutSeconds(modelOf({ adapters }))).toBe((30 + 60) * 60 + 600);
  expect(afterTraining(modelOf({ adapters }), TRAINED)).toBe(true);
  expect(afterTraining(modelOf(), TRAINED)).toBe(false);
  expect(servedNames(modelOf({ adapters }))).toEqual(["base", "tuned", "copied"]);
});
