import { sourceFaults } from "../../config/sourceRules";
import { ruleFaults } from "../../config/rules";
import type { ModelServerPodArgs } from "../../workloads/modelServer";
import { modelServerSpec } from "../../workloads/modelServer";
import { settled } from "../support/outputs";
import { modelServerArgs } from "../support/podArgs";
import { settingsOf, validTree } from "../support/settings";

const CUDA = { accelerator: "cuda", registry: "registry.test/ml", baseImage: "debian:12.1" };
const source = { kind: "volume", path: "m" };
const bucket = { kind: "gcs", uri: "gs://acme-models/m", access: "mount" };
const claim = (accessMode: string, volume: object = { kind: "storageClass" }) => ({
  volume,
  accessMode,
});

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly volumeMounts: readonly object[];
}

interface PodSpec {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly object[];
}

async function pod(change: object = {}, more: Partial<ModelServerPodArgs> = {}): Promise<PodSpec> {
  const spec = modelServerSpec(modelServerArgs({ compileCache: true, ...change }, more));
  const { template } = (await settled(spec)) as { template: { spec: PodSpec } };
  return template.spec;
}

const serverOf = ({ containers: [server] }: PodSpec): Container => {
  if (server === undefined) throw new Error("the pod has a container");
  return server;
};

const keyOf = async (...args: Parameters<typeof pod>): Promise<string> =>
  serverOf(await pod(...args)).env.find(({ name }) => name === "LLMOPS_COMPILE_CACHE_KEY")?.value ??
  "";

describe("a pod", () => {
  test("keeps nothing unless its model says so", async () => {
    const { initContainers, ...spec } = await pod({ compileCache: false });
    expect(initContainers).toBeUndefined();
    expect(JSON.stringify(spec)).not.toMatch(/compile-cache|COMPILE_CACHE/);
  });

  test("unpacks what is kept before its server starts; that sees its own model's folder only", async () => {
    const spec = await pod();
    expect(spec.initContainers).toMatchObject([
      {
        name: "restore-compile-cache",
        image: "r/i@sha256:0",
        args: ["restore"],
        env: expect.arrayContaining([
          { name: "LLMOPS_COMPILE_CACHE", value: "/compile-cache/compile-cache/base" },
          { name: "XDG_CACHE_HOME", value: "/home/app/.cache" },
        ]) as unknown,
        volumeMounts: [
          { name: "model-storage", mountPath: "/compile-cache" },
          { name: "cache", mountPath: "/home/app/.cache" },
        ],
        securityContext: { readOnlyRootFilesystem: true },
      },
    ]);
    const server = serverOf(spec);
    expect(server.env).toContainEqual({ name: "LLMOPS_COMPILE_CACHE", value: "/compile-cache" });
    expect(server.volumeMounts).toEqual(
      expect.arrayContaining([
        { name: "model-storage", mountPath: "/models", readOnly: true },
        { name: "model-storage", mountPath: "/compile-cache", subPath: "compile-cache/base" },
      ]),
    );
    expect(spec.volumes).toContainEqual({
      name: "model-storage",
      persistentVolumeClaim: { claimName: "model-output-pvc" },
    });
  });

  test("uses a claim of its own where the stack has one, and may not write models then", async () => {
    const claims = {
      modelOutput: "model-output-pvc",
      hubCache: undefined,
      compileCache: "compile-cache-pvc",
    };
    const spec = await pod({}, { claims });
    expect(spec.volumes).toEqual(
      expect.arrayContaining([
        {
          name: "model-storage",
          persistentVolumeClaim: { claimName: "model-output-pvc", readOnly: true },
        },
        { name: "compile-cache", persistentVolumeClaim: { claimName: "compile-cache-pvc" } },
      ]),
    );
    expect(serverOf(spec).volumeMounts).toContainEqual({
      name: "compile-cache",
      mountPath: "/compile-cache",
      subPath: "compile-cache/base",
    });
  });
});

describe("the key", () => {
  test("is the same for the same server, whatever does not change its code", async () => {
    const key = await keyOf();
    expect(key).toMatch(/^[0-9a-f]{10}$/);
    expect(await keyOf({ replicas: { max: 9 }, servedName: "other" })).toBe(key);
  });

  test.each<[string, object, Partial<ModelServerPodArgs>]>([
    ["image", {}, { image: "r/i@sha256:1" }],
    ["model", { source: { kind: "volume", path: "m2" } }, {}],
    ["adapter", { adapters: [{ name: "a", source }] }, {}],
    ["option", { options: { "max-model-len": 1024 } }, {}],
    ["kind of server", { server: "llamafactory" }, {}],
    ["number of GPUs", { resources: { gpu: 2 } }, {}],
    ["kind of GPU", { placement: { nodeSelector: { gpu: "l4" } } }, {}],
  ])("is another one for another %s", async (_, change, more) => {
    expect(await keyOf(change, more)).not.toBe(await keyOf());
  });
});

describe("settings", () => {
  const stack = (model: object, storage: object = {}, images: object = CUDA) => {
    const tree = validTree();
    return settingsOf({
      ...tree,
      images,
      storage: { ...(tree["storage"] as object), ...storage },
      models: [{ name: "base", source: bucket, compileCache: true, ...model }],
      gcp: { workloadIdentity: { inference: "serve@acme.iam.gserviceaccount.com" } },
    });
  };
  const fault = (name: string) => ({
    key: "models[0].replicas.max",
    got: "replicas.max 2 on a ReadWriteOnce claim, which only one node can mount",
    allowed: "one pod at a time, or a claim that several nodes can mount",
    fix: `pulumi config set --path 'llmops:storage.${name}.accessMode' 'ReadWriteMany'`,
  });
  const two = { replicas: { max: 2 } };

  test("replicas on a claim that one node mounts: its name, and what mends it", () => {
    const modelOutput = claim("ReadWriteOnce");
    expect(sourceFaults(stack(two, { modelOutput }))).toEqual([fault("modelOutput")]);
    const compileCache = claim("ReadWriteOnce");
    expect(sourceFaults(stack(two, { modelOutput, compileCache }))).toEqual([
      fault("compileCache"),
    ]);
  });

  test("one replica, a claim that several nodes mount, or nothing kept", () => {
    const modelOutput = claim("ReadWriteOnce");
    const compileCache = claim("ReadWriteMany");
    expect(sourceFaults(stack({ replicas: { max: 1 } }, { modelOutput }))).toEqual([]);
    expect(sourceFaults(stack(two, { modelOutput, compileCache }))).toEqual([]);
    expect(sourceFaults(stack({ ...two, compileCache: false }, { modelOutput }))).toEqual([]);
  });

  test("on a CPU there is nothing to keep", () => {
    expect(ruleFaults(stack({}, {}, { ...CUDA, accelerator: "cpu" }))).toEqual([
      {
        key: "models[0].compileCache",
        got: "true with images.accelerator cpu",
        allowed: "false: on a CPU nothing is compiled",
        fix: "pulumi config set --path 'llmops:models[0].compileCache' 'false'",
      },
    ]);
  });
});
