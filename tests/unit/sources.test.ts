import fc from "fast-check";
import type { ModelSource } from "../../config/sources";
import { isDownloaded, isRemote } from "../../config/sources";
import { fetchArguments } from "../../workloads/fetch";
import { modelPieces } from "../../workloads/modelPieces";
import { modelServerSpec, rolloutSeconds } from "../../workloads/modelServer";
import { modelPath, sourceFolder } from "../../workloads/source";
import { modelServerArgs } from "../support/podArgs";
import { REMOTE_SOURCES, REVISION, settingsOf, sourceTree } from "../support/settings";

const SECRETS = {
  HF_TOKEN: "hf-secret-1",
  ARTIFACTORY_URL: "artifactory-secret-1",
  ARTIFACTORY_USERNAME: "artifactory-secret-1",
  ARTIFACTORY_PASSWORD: "artifactory-secret-1",
  GCS_KEY: "gcs-secret-1",
  WANDB_API_KEY: "wandb-secret-1",
};

function model(source: object, change: object = {}) {
  const [first] = settingsOf(sourceTree({ ...source })).models;
  if (first === undefined) throw new Error("the tree has a model");
  return { ...first, ...change };
}

const sourceOf = (source: object): ModelSource => model(source).source;

function remote(source: object) {
  const parsed = sourceOf(source);
  if (!isRemote(parsed)) throw new Error("the source is a remote one");
  return parsed;
}

function download(source: object) {
  const parsed = sourceOf(source);
  if (!isDownloaded(parsed)) throw new Error("the source is a download");
  return parsed;
}

describe("the folder of a source", () => {
  test("is its slug and ten digits of what identifies it", () => {
    for (const source of Object.values(REMOTE_SOURCES)) {
      expect(sourceFolder(remote(source))).toMatch(/^base-1b-[0-9a-f]{10}$/);
      expect(modelPath(remote(source))).toBe(`/models/sources/${sourceFolder(remote(source))}`);
    }
    expect(modelPath({ kind: "volume", path: "a/b" })).toBe("/models/a/b");
    expect(() => modelPath({ kind: "training" })).toThrow(
      new RangeError("a source of kind training has no folder of its own"),
    );
  });

  test.each<[string, object, object]>([
    ["revision", REMOTE_SOURCES.huggingface, { revision: REVISION.replace("0", "f") }],
    ["id", REMOTE_SOURCES.huggingface, { id: "Other/Base-1B" }],
    ["patterns", REMOTE_SOURCES.huggingface, { allowPatterns: ["*.json"] }],
    ["bucket", REMOTE_SOURCES.download, { uri: "gs://other-models/base/Base-1B" }],
    ["store", REMOTE_SOURCES.download, { endpoint: "http://gcs.test:4443" }],
    ["path", REMOTE_SOURCES.artifactory, { path: "other/Base-1B.tar.zst" }],
    ["checksum", REMOTE_SOURCES.artifactory, { sha256: "a".repeat(64) }],
  ])("is another one with another %s", (_, source, change) => {
    expect(sourceFolder(remote({ ...source, ...change }))).not.toBe(sourceFolder(remote(source)));
  });

  test.each<[string, object, object]>([
    ["mirror", REMOTE_SOURCES.huggingface, { endpoint: "https://hub.test" }],
    ["token", REMOTE_SOURCES.huggingface, { gated: true }],
    ["credentials", REMOTE_SOURCES.download, { anonymous: true }],
    ["slash at the end", REMOTE_SOURCES.download, { uri: "gs://acme-models/base/Base-1B/" }],
  ])("is the same with another %s", (_, source, change) => {
    expect(sourceFolder(remote({ ...source, ...change }))).toBe(sourceFolder(remote(source)));
  });

  test("is always one harmless path segment, and no two sources share one", () => {
    const path = fc.stringMatching(/^[\w.-]{1,60}(\/[\w.-]{1,60}){0,3}$/);
    fc.assert(
      fc.property(path, path, (one, other) => {
        const folder = (uri: string): string =>
          sourceFolder({ kind: "artifactory", path: uri, sha256: undefined });
        expect(folder(one)).toMatch(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?-[0-9a-f]{10}$/);
        expect(folder(one) === folder(other)).toBe(one === other);
      }),
    );
  });
});

describe("the downloader's arguments", () => {
  test("hub: id, revision, mirror and every pattern", () => {
    const source = download({
      ...REMOTE_SOURCES.huggingface,
      endpoint: "https://hub.test/api/huggingfaceml/hub",
      allowPatterns: ["*.safetensors", "*.json"],
    });
    expect(fetchArguments(source)).toEqual([
      ...["fetch", "huggingface", "--id", "Acme/Base-1B", "--revision", REVISION],
      ...["--endpoint", "https://hub.test/api/huggingfaceml/hub"],
      ...["--allow", "*.safetensors", "--allow", "*.json", "--to", modelPath(source)],
    ]);
  });

  test("bucket", () => {
    const source = download(REMOTE_SOURCES.download);
    const uri = ["fetch", "gcs", "--uri", "gs://acme-models/base/Base-1B"];
    expect(fetchArguments(source)).toEqual([...uri, "--to", modelPath(source)]);
    const other = download({ ...REMOTE_SOURCES.download, endpoint: "http://g:1", anonymous: true });
    expect(fetchArguments(other)).toEqual([
      ...[...uri, "--endpoint", "http://g:1", "--anonymous", "--to", modelPath(other)],
    ]);
  });

  test("Artifactory: never where it is or who asks", () => {
    const sha256 = "a".repeat(64);
    const source = download({ ...REMOTE_SOURCES.artifactory, sha256 });
    const path = ["fetch", "artifactory", "--path", "models/Base-1B.tar.zst"];
    expect(fetchArguments(source)).toEqual([
      ...path,
      "--sha256",
      sha256,
      "--to",
      modelPath(source),
    ]);
  });
});

interface Env {
  readonly name: string;
  readonly value?: string;
}

interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: readonly Env[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Pod {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string }[];
}

function podOf(source: object, hubCache?: string, identity = false): Pod {
  const claims = { modelOutput: "model-output-pvc", hubCache };
  const args = { settings: model(source), claims, secrets: SECRETS, identity };
  const { template } = modelServerSpec(modelServerArgs({}, args));
  return (template as unknown as { spec: Pod }).spec;
}

const references = (container: Container | undefined): string[] =>
  (container?.env ?? []).flatMap(({ name, ...rest }) => ("valueFrom" in rest ? [name] : []));

describe("the pod of a server that downloads its model", () => {
  const claim = (pod: Pod, name: string) => pod.volumes.find((volume) => volume.name === name);

  test("has an init container of our own image, small, restricted and without a GPU", () => {
    const [init, ...others] = podOf(REMOTE_SOURCES.huggingface).initContainers ?? [];
    expect(others).toEqual([]);
    expect(init).toMatchObject({
      name: "fetch-model",
      image: "r/i@sha256:0",
      command: ["/opt/models/bin/python", "-m", "llmops_models"],
      terminationMessagePolicy: "FallbackToLogsOnError",
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { memory: "1Gi" } },
    });
    expect(init?.env).not.toContainEqual({ name: "HF_HUB_OFFLINE", value: "1" });
    expect(JSON.stringify(init)).not.toContain("nvidia.com/gpu");
  });

  test("writes model-output-pvc from the init container only", () => {
    const pod = podOf(REMOTE_SOURCES.huggingface);
    expect(pod.initContainers?.[0]?.volumeMounts).toEqual([
      { name: "model-storage", mountPath: "/models" },
      { name: "fetch-tmp", mountPath: "/tmp" },
    ]);
    expect(pod.containers[0]?.volumeMounts[0]).toEqual({
      name: "model-storage",
      mountPath: "/models",
      readOnly: true,
    });
    expect(claim(pod, "model-storage")).toEqual({
      name: "model-storage",
      persistentVolumeClaim: { claimName: "model-output-pvc" },
    });
  });

  test("with a hub cache mounts that and nothing of model-output-pvc", () => {
    const pod = podOf(REMOTE_SOURCES.huggingface, "hub-cache-pvc");
    expect(pod.initContainers?.[0]?.volumeMounts[0]).toEqual({
      name: "hub-cache",
      mountPath: "/models/sources",
    });
    expect(pod.containers[0]?.volumeMounts[0]).toEqual({
      name: "hub-cache",
      mountPath: "/models/sources",
      readOnly: true,
    });
    expect(claim(pod, "model-storage")).toBeUndefined();
  });

  test.each<[keyof typeof REMOTE_SOURCES, string[]]>([
    ["huggingface", ["HF_TOKEN"]],
    ["artifactory", ["ARTIFACTORY_URL", "ARTIFACTORY_USERNAME", "ARTIFACTORY_PASSWORD"]],
    ["download", []],
  ])("%s: its secrets are in the init container, and nowhere else", (kind, keys) => {
    const pod = podOf(REMOTE_SOURCES[kind]);
    expect(references(pod.initContainers?.[0])).toEqual(keys);
    expect(references(pod.containers[0])).toEqual(["VLLM_API_KEY"]);
    expect(pod.containers[0]?.env).toContainEqual({ name: "HF_HUB_OFFLINE", value: "1" });
  });

  test("a secret that the stack does not have is not asked for", () => {
    const source = download(REMOTE_SOURCES.huggingface);
    const pieces = modelPieces({
      source,
      image: "i",
      fetchResources: { cpu: "1", memory: "1Gi" },
      claims: { modelOutput: "c", hubCache: undefined },
      outputVolume: "v",
      secrets: {},
      identity: false,
    });
    expect(JSON.stringify(pieces)).not.toContain("secretKeyRef");
  });

  test("the bucket's key is a read-only file of the init container", () => {
    const pod = podOf(REMOTE_SOURCES.download);
    const [init] = pod.initContainers ?? [];
    expect(init?.env).toContainEqual({
      name: "GOOGLE_APPLICATION_CREDENTIALS",
      value: "/var/run/secrets/gcs/key.json",
    });
    expect(init?.volumeMounts).toContainEqual({
      name: "gcs-key",
      mountPath: "/var/run/secrets/gcs",
      readOnly: true,
    });
    expect(claim(pod, "gcs-key")).toEqual({
      name: "gcs-key",
      secret: {
        secretName: "gcs-secret-1",
        items: [{ key: "GCS_KEY", path: "key.json" }],
        defaultMode: 0o440,
      },
    });
    expect(pod.containers[0]?.volumeMounts.map(({ name }) => name)).not.toContain("gcs-key");
  });

  test("no key where the pods have an identity or the bucket asks for none", () => {
    const pods = [
      podOf(REMOTE_SOURCES.download, undefined, true),
      podOf({ ...REMOTE_SOURCES.download, anonymous: true }),
    ];
    for (const pod of pods) expect(JSON.stringify(pod)).not.toMatch(/gcs-key|GOOGLE_APPLICATION/);
  });

  test("a rollout may take as long as the download", () => {
    const minutes = { fetchMinutes: 30, startupMinutes: 20 };
    expect(rolloutSeconds(model(REMOTE_SOURCES.huggingface, minutes))).toBe(50 * 60 + 600);
    expect(rolloutSeconds(model(REMOTE_SOURCES.mount, minutes))).toBe(20 * 60 + 600);
    expect(rolloutSeconds(model({ kind: "volume", path: "m" }, minutes))).toBe(20 * 60 + 600);
  });
});

test("a model on the volume needs no init container, and the claim stays read-only", () => {
  const pod = podOf({ kind: "volume", path: "m" });
  expect(pod).not.toHaveProperty("initContainers");
  expect(pod.volumes[0]).toEqual({
    name: "model-storage",
    persistentVolumeClaim: { claimName: "model-output-pvc", readOnly: true },
  });
});
