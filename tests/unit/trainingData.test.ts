import { parse } from "yaml";
import { infoFaults } from "../../config/dataset";
import { faultsOf } from "../../config/faults";
import { settingsSchema } from "../../config/schema";
import { secretFaults } from "../../config/secrets";
import { sourceFaults } from "../../config/sourceRules";
import { usedSources } from "../../config/usedSources";
import { egressPolicies } from "../../workloads/egress";
import { trainingJobSpec } from "../../workloads/trainingJob";
import { runId, trainingYaml } from "../../workloads/trainingRun";
import { trainingPodArgs } from "../support/podArgs";
import { IDENTITY, REVISION, settingsOf, trainingOf, trainingTree } from "../support/settings";

const IMAGE = `registry.test/train@sha256:${"a".repeat(64)}`;
const CONFIG = { stage: "sft", do_train: true, dataset: "facts" };
const INFO = { facts: { file_name: "data/facts.parquet" } };
const DATA = {
  huggingface: { kind: "huggingface", id: "Acme/Facts", revision: REVISION },
  gcs: { kind: "gcs", uri: "gs://acme-data/facts" },
  artifactory: { kind: "artifactory", path: "data/facts.tar.zst" },
} as const;
const KINDS = ["huggingface", "gcs", "artifactory"] as const;

const tree = (data: object, change: object = {}): Record<string, unknown> =>
  trainingTree({ data, ...change });
const training = (data: object, change: object = {}) => trainingOf({ data, ...change });

const identity = (data: object) =>
  runId({ config: CONFIG, data: undefined, settings: training(data), image: IMAGE });

function job(data: object, change: object = {}, hubCache?: string) {
  return trainingJobSpec(
    trainingPodArgs(
      {},
      {
        files: { settings: training(data, change), config: CONFIG },
        image: IMAGE,
        accelerator: "cpu",
        claims: { modelOutput: "model-output-pvc", hubCache },
        dataVolume: undefined,
        secrets: { HF_TOKEN: "hf-secret-1", ARTIFACTORY_URL: "art-1", GCS_KEY: "gcs-secret-1" },
      },
    ),
  );
}

interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly valueFrom?: object }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}
interface Pod {
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string }[];
}
const podOf = (made: ReturnType<typeof job>) => (made.template as { readonly spec: Pod }).spec;
const datasetDir = (data: object): unknown =>
  (parse(trainingYaml(CONFIG, training(data), "id")) as Record<string, unknown>)["dataset_dir"];

describe("the run id", () => {
  test.each<[keyof typeof DATA, object, boolean]>([
    ["huggingface", { revision: REVISION.replace("0", "f") }, true],
    ["huggingface", { id: "Acme/Other" }, true],
    ["huggingface", { allowPatterns: ["*.json"] }, true],
    ["huggingface", { info: INFO }, true],
    ["huggingface", { endpoint: "https://hub.test" }, false],
    ["huggingface", { gated: true }, false],
    ["gcs", { uri: "gs://acme-data/other" }, true],
    ["gcs", { uri: "gs://acme-data/facts/" }, false],
    ["gcs", { anonymous: true }, false],
    ["gcs", { access: "download" }, false],
    ["artifactory", { sha256: "a".repeat(64) }, true],
    ["artifactory", { path: "data/other.zip" }, true],
  ])("data from %s with %j changes it: %s", (kind, change, changes) => {
    expect(identity({ ...DATA[kind], ...change }) !== identity(DATA[kind])).toBe(changes);
    const folders = [datasetDir({ ...DATA[kind], ...change }), datasetDir(DATA[kind])];
    expect(new Set(folders).size).toBe(changes ? 2 : 1);
  });

  test("is another one for each kind", () => {
    const all = [...Object.values(DATA), { kind: "volume" }].map(identity);
    expect(new Set(all).size).toBe(4);
  });
});

test.each<[keyof typeof DATA, string[]]>([
  ["huggingface", ["--id", "Acme/Facts", "--revision", REVISION]],
  ["gcs", ["--uri", "gs://acme-data/facts"]],
  ["artifactory", ["--path", "data/facts.tar.zst"]],
])("%s: an init container downloads into the folder that the trainer reads", (kind, what) => {
  const { initContainers, containers, volumes } = podOf(job(DATA[kind]));
  const [fetch] = initContainers;
  const folder = datasetDir(DATA[kind]);
  expect(folder).toMatch(/^\/app\/data\/sources\/facts-[0-9a-f]{10}$/);
  expect(initContainers).toHaveLength(1);
  expect(fetch).toMatchObject({
    name: "fetch-data",
    image: IMAGE,
    volumeMounts: expect.arrayContaining([
      { name: "train-output", mountPath: "/app/data" },
    ]) as object,
  });
  expect(fetch?.args.slice(0, 2 + what.length)).toEqual(["fetch", kind, ...what]);
  expect(fetch?.args.slice(-3)).toEqual(["--data", "--to", folder]);
  expect(containers[0]?.volumeMounts).toContainEqual({
    name: "train-output",
    mountPath: "/app/data",
    readOnly: true,
  });
  expect(volumes.map(({ name }) => name)).not.toContain("train-data");
});

test("with a hub cache, base model and data lie on it, each volume once", () => {
  const baseModel = { kind: "huggingface", id: "Acme/Base-1B", revision: REVISION };
  const made = podOf(job(DATA.huggingface, { baseModel }, "hub-cache-pvc"));
  expect(made.initContainers.map(({ name }) => name)).toEqual(["fetch-model", "fetch-data"]);
  const cache = made.containers[0]?.volumeMounts.filter(({ name }) => name === "hub-cache");
  expect(cache).toEqual([
    { name: "hub-cache", mountPath: "/app/data/sources", readOnly: true },
    { name: "hub-cache", mountPath: "/models/sources", readOnly: true },
  ]);
  const names = made.volumes.map(({ name }) => name);
  expect(names).toEqual([...new Set(names)]);
});

test("the data sets that the settings name go to the downloader as dataset_info.json", () => {
  const [fetch] = podOf(job({ ...DATA.huggingface, info: INFO })).initContainers;
  expect(fetch?.args.slice(-5)).toEqual([
    "--data",
    "--dataset-info",
    '{"facts":{"file_name":"data/facts.parquet"}}',
    "--to",
    datasetDir({ ...DATA.huggingface, info: INFO }),
  ]);
});

test.each<[keyof typeof DATA, string]>([
  ["huggingface", "HF_TOKEN"],
  ["gcs", "GOOGLE_APPLICATION_CREDENTIALS"],
  ["artifactory", "ARTIFACTORY_URL"],
])("%s: only the downloader gets %s", (kind, secret) => {
  const { initContainers, containers } = podOf(job(DATA[kind]));
  expect(initContainers[0]?.env.map(({ name }) => name)).toContain(secret);
  expect(containers[0]?.env.map(({ name }) => name)).not.toContain(secret);
});

test("a download of data that may work later is no failure, one that cannot ends the Job", () => {
  expect(job(DATA.gcs).podFailurePolicy).toMatchObject({
    rules: [
      { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] },
      { action: "Ignore", onExitCodes: { containerName: "fetch-data", values: [75] } },
      { action: "FailJob", onExitCodes: { containerName: "fetch-data", values: [2, 78] } },
      { action: "FailJob", onExitCodes: { containerName: "training", values: [2, 65, 78, 79] } },
    ],
  });
});

test("MLflow's run is told the fingerprint of the place", () => {
  const fingerprint = (data: object) =>
    podOf(job(data)).containers[0]?.env.find(({ name }) => name === "LLMOPS_DATA_FINGERPRINT");
  expect(fingerprint(DATA.gcs)).toMatchObject({ value: expect.stringMatching(/^[0-9a-f]{10}$/) });
  expect(fingerprint({ kind: "volume" })).toBeUndefined();
});

describe("the settings", () => {
  test.each(KINDS)("data from %s is a source of training, with its way out", (kind) => {
    const settings = settingsOf(tree(DATA[kind]));
    expect(usedSources(settings).map(({ key, role }) => [key, role])).toEqual([
      ["models[0].source", "inference"],
      ["training.baseModel", "training"],
      ["training.data", "training"],
    ]);
    expect(Object.keys(egressPolicies(settings))).toEqual(["training-to-repositories"]);
  });

  test.each<[object, string, string]>([
    [{ ...DATA.huggingface, gated: true }, "HF_TOKEN", "training.data.gated is true"],
    [DATA.artifactory, "ARTIFACTORY_URL", "training.data is a path below it"],
    [DATA.gcs, "GCS_KEY", "training.data has neither gcp.workloadIdentity.training nor anonymous"],
  ])("%j needs %s", (data, key, why) => {
    const none = () => ({ isSet: false, isSecret: false });
    expect(secretFaults(settingsOf(tree(data)), none)).toEqual([
      expect.objectContaining({ key, allowed: `a secret, since ${why}` }),
    ]);
    if (key === "GCS_KEY") {
      expect(secretFaults(settingsOf({ ...tree(data), ...IDENTITY }), none)).toEqual([]);
    }
  });

  test("a checksum of a folder is refused", () => {
    const data = { kind: "artifactory", path: "data/facts", sha256: "a".repeat(64) };
    expect(sourceFaults(settingsOf(tree(data)))).toEqual([
      {
        key: "training.data.sha256",
        got: 'a checksum of the folder "data/facts"',
        allowed: "only for an archive: .zip, .tar, .tar.gz, .tgz or .tar.zst",
        fix: "pulumi config rm --path 'llmops:training.data.sha256'",
      },
    ]);
  });

  test.each<[string, object]>([
    ["training.data.revision", { ...DATA.huggingface, revision: "main" }],
    ["training.data.access", { ...DATA.gcs, access: "mount" }],
    ["training.data.info.facts.file_name", { ...DATA.gcs, info: { facts: {} } }],
    [
      "training.data.info.facts.file_name",
      { ...DATA.gcs, info: { facts: { file_name: "../a.json" } } },
    ],
  ])("a fault of %s is told", (key, data) => {
    const parsed = settingsSchema.safeParse(tree(data));
    if (parsed.success) throw new Error("it must be refused");
    expect(faultsOf(parsed.error, tree(data)).map((fault) => fault.key)).toEqual([key]);
  });

  test("a data set that the training file uses and the settings do not name is refused", () => {
    const config = { dataset: "facts, more", eval_dataset: "facts" };
    expect(infoFaults(undefined, config)).toEqual([]);
    expect(infoFaults(INFO, { dataset: "facts" })).toEqual([]);
    expect(infoFaults(INFO, config)).toEqual([
      {
        key: "training.data.info",
        got: 'no "more", which dataset or eval_dataset of training.configFile names',
        allowed: "every data set that is used; it has facts",
        fix: "pulumi config set --path 'llmops:training.data.info.more.file_name' '<file of the source>'",
      },
    ]);
  });
});
