import { faultsOf } from "../../config/faults";
import { settingsSchema } from "../../config/schema";
import { sourceFaults } from "../../config/sourceRules";
import {
  IDENTITY,
  REMOTE_SOURCES,
  settingsOf,
  sourceTree,
  trainingTree,
} from "../support/settings";

const faults = (tree: Record<string, unknown>) => sourceFaults(settingsOf(tree));
const training = (change: object): Record<string, unknown> => {
  const tree = trainingTree();
  return { ...tree, training: { ...(tree["training"] as object), ...change } };
};
const claim = (accessMode: string) => ({ volume: { kind: "storageClass" }, accessMode });
const storage = (modelOutput: string, hubCache?: string) => ({
  storage: {
    modelOutput: claim(modelOutput),
    ...(hubCache === undefined ? {} : { hubCache: claim(hubCache) }),
    mlflow: { volume: { kind: "storageClass" } },
  },
});

describe("a claim that one node can mount, and several replicas", () => {
  const keys = (source: object, change: object) =>
    faults(sourceTree(source, change)).map(({ key, fix }) => [key, fix]);
  const fix = (name: string) =>
    `pulumi config set --path 'llmops:storage.${name}.accessMode' 'ReadWriteMany'`;

  test("downloads lie on model-output-pvc, or on the hub cache where there is one", () => {
    const { huggingface } = REMOTE_SOURCES;
    expect(keys(huggingface, storage("ReadWriteOnce"))).toEqual([
      ["models[0].replicas.max", fix("modelOutput")],
    ]);
    expect(keys(huggingface, storage("ReadWriteMany", "ReadWriteOnce"))).toEqual([
      ["models[0].replicas.max", fix("hubCache")],
    ]);
    expect(keys(huggingface, storage("ReadWriteOnce", "ReadWriteMany"))).toEqual([]);
  });

  test("what is no download stays on model-output-pvc, a mounted bucket on neither", () => {
    const volume = { kind: "volume", path: "m" };
    expect(keys(volume, storage("ReadWriteOnce", "ReadWriteMany"))).toEqual([
      ["models[0].replicas.max", fix("modelOutput")],
    ]);
    const mounted = { ...storage("ReadWriteOnce", "ReadWriteOnce"), ...IDENTITY };
    expect(keys(REMOTE_SOURCES.mount, mounted)).toEqual([]);
  });
});

test("two host paths of one pod on two nodes", () => {
  const on = (node: string, path: string) => ({ volume: { kind: "hostPath", path, node } });
  const tree = (cacheNode: string) => ({
    ...training({ baseModel: REMOTE_SOURCES.huggingface }),
    storage: {
      modelOutput: on("n1", "/mnt/m"),
      hubCache: on(cacheNode, "/mnt/c"),
      mlflow: { volume: { kind: "storageClass" } },
    },
  });
  expect(faults(tree("n1"))).toEqual([]);
  expect(faults(tree("n2"))).toEqual([
    {
      key: "storage.hubCache.volume.node",
      got: '"n2", but storage.modelOutput is on "n1"',
      allowed: "one node: the training pod mounts both",
      fix: "pulumi config set --path 'llmops:storage.hubCache.volume.node' 'n1'",
    },
  ]);
});

describe("a mounted bucket", () => {
  test("needs an identity, a key file cannot stand in for it", () => {
    expect(faults(sourceTree(REMOTE_SOURCES.mount))).toEqual([
      {
        key: "models[0].source.access",
        got: '"mount" without gcp.workloadIdentity.inference',
        allowed: "a Google service account for the pods: the driver takes no key file; or download",
        fix: "pulumi config set --path 'llmops:gcp.workloadIdentity.inference' '<name>@<project>.iam.gserviceaccount.com'",
      },
    ]);
    expect(faults(training({ baseModel: REMOTE_SOURCES.mount }))).toEqual([
      expect.objectContaining({
        key: "training.baseModel.access",
        got: '"mount" without gcp.workloadIdentity.training',
      }),
    ]);
    expect(faults(sourceTree(REMOTE_SOURCES.mount, IDENTITY))).toEqual([]);
  });

  test("has no other server and no anonymous access", () => {
    const source = { ...REMOTE_SOURCES.mount, endpoint: "http://gcs.test", anonymous: true };
    expect(faults(sourceTree(source, IDENTITY))).toEqual([
      {
        key: "models[0].source.endpoint",
        got: '"http://gcs.test" with access mount',
        allowed: "only with access download",
        fix: "pulumi config rm --path 'llmops:models[0].source.endpoint'",
      },
      {
        key: "models[0].source.anonymous",
        got: "true with access mount",
        allowed: "only with access download",
        fix: "pulumi config rm --path 'llmops:models[0].source.anonymous'",
      },
    ]);
  });
});

test("a checksum is of an archive, a folder has none", () => {
  const sha256 = "a".repeat(64);
  for (const path of ["m.zip", "m.tar", "m.tar.gz", "m.tgz", "a/m.tar.zst"]) {
    expect(faults(sourceTree({ kind: "artifactory", path, sha256 }))).toEqual([]);
  }
  expect(faults(sourceTree({ kind: "artifactory", path: "models/m", sha256 }))).toEqual([
    {
      key: "models[0].source.sha256",
      got: 'a checksum of the folder "models/m"',
      allowed: "only for an archive: .zip, .tar, .tar.gz, .tgz or .tar.zst",
      fix: "pulumi config rm --path 'llmops:models[0].source.sha256'",
    },
  ]);
});

describe("a name in MLflow's registry", () => {
  const publish = { kind: "artifactory", target: "models/tuned" };
  test("is for runs that are published and tracked", () => {
    expect(faults(training({ registeredModel: "tuned", publish }))).toEqual([]);
    expect(faults(training({ registeredModel: "tuned" }))).toEqual([
      {
        key: "training.registeredModel",
        got: '"tuned" without training.publish',
        allowed: "only for runs that are published and tracked in MLflow",
        fix: "pulumi config rm --path 'llmops:training.registeredModel'",
      },
    ]);
    const untracked = { registeredModel: "tuned", publish, tracking: { mlflow: false } };
    expect(faults(training(untracked))).toEqual([
      expect.objectContaining({ got: '"tuned" without training.tracking.mlflow' }),
    ]);
  });
});

describe("a value that no source can have", () => {
  test.each<[object, string, string]>([
    [
      { ...REMOTE_SOURCES.huggingface, revision: "main" },
      "revision",
      "a commit SHA of 40 hex digits",
    ],
    [{ ...REMOTE_SOURCES.huggingface, allowPatterns: [] }, "allowPatterns", "at least one pattern"],
    [
      { ...REMOTE_SOURCES.huggingface, endpoint: "https://me:pw@hub.test" },
      "endpoint",
      "an http(s) URL without credentials, which images and arguments would show",
    ],
    [
      { ...REMOTE_SOURCES.download, uri: "gs://bucket" },
      "uri",
      "gs://bucket/folder, without commas and '..'",
    ],
    [
      { ...REMOTE_SOURCES.download, uri: "gs://bucket/a,ro" },
      "uri",
      "gs://bucket/folder, without commas and '..'",
    ],
    [{ ...REMOTE_SOURCES.artifactory, path: "../up.zip" }, "path", "a relative path without '..'"],
    [{ ...REMOTE_SOURCES.artifactory, sha256: "abc" }, "sha256", "64 hex digits"],
  ])("%j", (source, key, allowed) => {
    const tree = sourceTree(source);
    const parsed = settingsSchema.safeParse(tree);
    expect(parsed.success ? [] : faultsOf(parsed.error, tree)).toEqual([
      expect.objectContaining({ key: `models[0].source.${key}`, allowed }),
    ]);
  });

  test.each<[object, string, string]>([
    [
      { network: { egress: [{ cidr: "10.0.0.1" }] } },
      "network.egress[0].cidr",
      "an address range, such as 10.0.0.0/8",
    ],
    [
      { network: { egress: [{ cidr: "10.0.0.1/32", ports: [0] }] } },
      "network.egress[0].ports[0]",
      "at least 1",
    ],
    [
      { gcp: { workloadIdentity: { training: "me@gmail.com" } } },
      "gcp.workloadIdentity.training",
      "a Google service account, such as models@project.iam.gserviceaccount.com",
    ],
    [
      { images: { registry: "r", baseImage: "d:1", caBundle: "/etc/ssl/site.pem" } },
      "images.caBundle",
      "a file in images/ca, such as images/ca/site.pem",
    ],
  ])("%j", (change, key, allowed) => {
    const tree = sourceTree({ kind: "volume", path: "m" }, change);
    const parsed = settingsSchema.safeParse(tree);
    expect(parsed.success ? [] : faultsOf(parsed.error, tree)).toEqual([
      expect.objectContaining({ key, allowed }),
    ]);
  });
});
