import * as pulumi from "@pulumi/pulumi";
import { Credentials } from "../../components/credentials";
import { Images } from "../../components/images";
import { Mlflow } from "../../components/mlflow";
import { ModelServer } from "../../components/modelServer";
import { ModelStorage } from "../../components/modelStorage";
import { PlatformNamespace } from "../../components/platformNamespace";
import type { Registered } from "../support/program";
import { isSecretEnvelope, runProgram } from "../support/program";
import { settingsOf, validTree } from "../support/settings";

/** Runs a component alone and returns its children, without itself. */
async function children(make: () => pulumi.ComponentResource): Promise<readonly Registered[]> {
  const { resources } = await runProgram({ stack: "test", settings: {} }, () => {
    make();
    return Promise.resolve({});
  });
  return resources.filter(({ type }) => !type.startsWith("llmops:"));
}

const summary = (resources: readonly Registered[]) =>
  resources.map(
    ({ type, name, parent }) => `${type.split(":").at(-1) ?? type} ${name} < ${parent ?? "-"}`,
  );

function byKind(resources: readonly Registered[], kind: string): Registered {
  const found = resources.filter(({ type }) => type.endsWith(`:${kind}`));
  const [only] = found;
  if (only === undefined || found.length !== 1) {
    throw new Error(`expected one ${kind}, found ${String(found.length)}`);
  }
  return only;
}

const settings = (change: object = {}) => settingsOf({ ...validTree(), ...change });

describe("ModelStorage", () => {
  const storage = (modelOutput: object) =>
    children(
      () =>
        new ModelStorage("storage", {
          namespace: "ns",
          settings: settings({
            storage: { modelOutput, mlflow: { volume: { kind: "existingClaim", name: "mine" } } },
          }).storage,
        }),
    );
  const hostPath = { kind: "hostPath", path: "/mnt/m", node: "n" };

  test("makes volume and claim for hostPath, and nothing for a claim that exists", async () => {
    expect(summary(await storage({ volume: hostPath }))).toEqual([
      "PersistentVolume llama-model-pv < storage",
      "PersistentVolumeClaim model-output-pvc < storage",
    ]);
  });

  test.each([
    [true, true],
    [false, false],
  ])("protect %s: every stateful resource is kept accordingly", async (protect, kept) => {
    const resources = await storage({ volume: hostPath, protect });
    expect(resources).toHaveLength(2);
    for (const { opts } of resources) {
      expect({ protect: opts.protect, retainOnDelete: opts.retainOnDelete }).toEqual({
        protect: kept,
        retainOnDelete: kept,
      });
    }
  });

  test("does not wait for a class that may bind only when a pod is there", async () => {
    const resources = await storage({ volume: { kind: "storageClass" } });
    expect(byKind(resources, "PersistentVolumeClaim").inputs["metadata"]).toEqual({
      name: "model-output-pvc",
      namespace: "ns",
      annotations: { "pulumi.com/skipAwait": "true" },
    });
  });
});

describe("Credentials", () => {
  const credentials = (given: Record<string, string>) =>
    children(
      () =>
        new Credentials("credentials", {
          namespace: "ns",
          secrets: Object.fromEntries(
            Object.entries(given).map(([key, value]) => [key, pulumi.secret(value)]),
          ),
        }),
    );

  test("makes only the Secrets that the stack has values for", async () => {
    expect(summary(await credentials({ VLLM_API_KEY: "k" }))).toEqual([
      "Secret vllm-api-key < credentials",
    ]);
    expect(summary(await credentials({ HF_TOKEN: "t", VLLM_API_KEY: "k" }))).toEqual([
      "Secret hf-secret < credentials",
      "Secret vllm-api-key < credentials",
    ]);
  });

  test("generates the API key when none is given", async () => {
    const resources = await credentials({});
    expect(summary(resources)).toEqual([
      "Secret vllm-api-key < credentials",
      "RandomPassword credentials-api-key < credentials",
    ]);
    expect(byKind(resources, "RandomPassword").inputs).toEqual({ length: 40, special: false });
  });

  test("every value is in the secret envelope, and no name is given, so a change makes a new Secret", async () => {
    const resources = await credentials({
      HF_TOKEN: "t",
      ARTIFACTORY_URL: "u",
      ARTIFACTORY_USERNAME: "n",
      ARTIFACTORY_PASSWORD: "p",
      WANDB_API_KEY: "w",
    });
    const secrets = resources.filter(({ type }) => type.endsWith(":Secret"));
    expect(secrets.map(({ name }) => name)).toEqual([
      "artifactory-secret",
      "hf-secret",
      "vllm-api-key",
      "wandb-secret",
    ]);
    for (const { inputs } of secrets) {
      expect(inputs["metadata"]).toEqual({ namespace: "ns" });
      expect(isSecretEnvelope(inputs["stringData"])).toBe(true);
    }
  });
});

describe("Images", () => {
  const images = (change: object = {}) => {
    const tree = { registry: "r.test/ml", baseImage: "d:1", accelerator: "cpu", ...change };
    return children(() => new Images("images", { settings: settings({ images: tree }).images }));
  };

  test("three images, each with its own Dockerfile in one context, pushed by a pinned tag", async () => {
    const made = await images();
    expect(made.map(({ inputs }) => inputs["imageName"])).toEqual([
      "r.test/ml/llama-factory-inference:0.1.0-cpu",
      "r.test/ml/mlflow:0.1.0-cpu",
      "r.test/ml/llama-factory-train:0.1.0-cpu",
    ]);
    expect(made[2]?.inputs["build"]).toEqual({
      context: "images",
      dockerfile: "images/training/Dockerfile",
      platform: "linux/amd64",
      builderVersion: "BuilderBuildKit",
      args: {
        BASE_IMAGE: "d:1",
        PACKAGE_INDEX: "",
        APT_MIRROR: "",
        ACCELERATOR: "cpu",
        INSTALL_FLASH_ATTN: "0",
      },
    });
  });

  test("FlashAttention and host network are asked for only where set", async () => {
    const made = await images({ accelerator: "cuda", flashAttention: true, buildNetwork: "host" });
    expect(made[2]?.inputs["build"]).toMatchObject({
      network: "host",
      args: { INSTALL_FLASH_ATTN: "1", ACCELERATOR: "cuda" },
    });
    expect(made[1]?.inputs["build"]).not.toMatchObject({ args: { ACCELERATOR: "cuda" } });
  });
});

describe("ModelServer", () => {
  const server = (change: object = {}) => {
    const tree = { models: [{ name: "m", source: { kind: "volume", path: "x" }, ...change }] };
    const [model] = settings(tree).models;
    if (model === undefined) throw new Error("the tree has a model");
    return children(
      () =>
        new ModelServer("m", {
          namespace: "ns",
          settings: model,
          accelerator: "cpu",
          image: "r/i@sha256:0",
          modelPath: "/models/x",
          claims: { modelOutput: "model-output-pvc", hubCache: undefined },
          apiKeySecret: "key-1",
          secrets: {},
          identity: false,
          pullSecrets: [],
        }),
    );
  };

  test("one replica: no PodDisruptionBudget, which would block node drains", async () => {
    expect(summary(await server())).toEqual([
      "Deployment llama-factory-inference-m < m",
      "HorizontalPodAutoscaler llama-inference-hpa-m < m",
      "ConfigMap llama-factory-inference-m < m",
      "Service llama-factory-inference-m < m",
    ]);
  });

  test("two replicas: one at a time may be taken away", async () => {
    const budget = byKind(await server({ replicas: { min: 2, max: 4 } }), "PodDisruptionBudget");
    expect(budget.inputs["spec"]).toMatchObject({ maxUnavailable: 1 });
  });

  test("the ConfigMap has no fixed name, so that new options roll the pods", async () => {
    expect(byKind(await server(), "ConfigMap").inputs["metadata"]).toEqual({ namespace: "ns" });
  });

  test("the engine waits as long as the model may take, and leaves replicas alone", async () => {
    const { opts } = byKind(await server({ startupMinutes: 20 }), "Deployment");
    expect(opts.customTimeouts).toEqual({ create: "1800s", update: "1800s" });
    expect(opts.ignoreChanges).toEqual(["spec.replicas"]);
  });
});

test("Mlflow refuses to start without a claim", async () => {
  const make = () =>
    new Mlflow("mlflow", {
      namespace: "ns",
      settings: settings(),
      image: "r/m@sha256:0",
      claim: undefined,
      pullSecrets: [],
    });
  await expect(children(make)).rejects.toMatchObject({
    propertyPath: "claim",
    reason: "SQLite and artifacts need the claim mlflow-pvc",
  });
});

test("the namespace lets in restricted pods only", async () => {
  const resources = await children(
    () => new PlatformNamespace("llmops", { namespace: "ns", network: settings().network }),
  );
  expect(byKind(resources, "Namespace").inputs["metadata"]).toMatchObject({
    name: "ns",
    labels: { "pod-security.kubernetes.io/enforce": "restricted" },
  });
  const accounts = resources.filter(({ type }) => type.endsWith(":ServiceAccount"));
  expect(accounts.map(({ inputs }) => inputs["automountServiceAccountToken"])).toEqual([
    false,
    false,
    false,
  ]);
});
