import * as pulumi from "@pulumi/pulumi";
import { Credentials } from "../../components/credentials";
import { FrontDoor } from "../../components/frontDoor";
import { Images } from "../../components/images";
import { ModelServer } from "../../components/modelServer";
import { ModelStorage } from "../../components/modelStorage";
import { PlatformNamespace } from "../../components/platformNamespace";
import { TrainingJob } from "../../components/trainingJob";
import type { GeneratedKey } from "../../config/secrets";
import { children, summary } from "../support/component";
import type { Registered } from "../support/program";
import { isSecretEnvelope, redact } from "../support/program";
import { IDENTITY, REMOTE_SOURCES, settingsOf, validTree } from "../support/settings";

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
  const storage = (modelOutput: object, others: object = {}) =>
    children(
      () =>
        new ModelStorage("storage", {
          namespace: "ns",
          settings: settings({ namespace: "ns", storage: { modelOutput, ...others } }),
        }),
    );
  const hostPath = { kind: "hostPath", path: "/mnt/m", node: "n" };
  const mine = { kind: "existingClaim", name: "mine" };

  test("makes volume and claim for hostPath, and nothing for a claim that exists", async () => {
    expect(summary(await storage({ volume: hostPath }, { mlflow: { volume: mine } }))).toEqual([
      "PersistentVolume llama-model-pv < storage",
      "PersistentVolumeClaim model-output-pvc < storage",
    ]);
  });

  test.each([true, false])(
    "a claim to adopt is imported and left as it is; protect %s is as for others",
    async (protect) => {
      const [claim, ...others] = await storage({ volume: { ...mine, adopt: true }, protect });
      expect(others).toEqual([]);
      expect(claim?.name).toBe("model-output-pvc");
      expect(claim?.inputs["metadata"]).toEqual({ name: "mine", namespace: "ns" });
      expect(claim?.inputs).not.toHaveProperty("spec");
      expect(claim?.opts).toMatchObject({
        import: "ns/mine",
        ignoreChanges: ["metadata", "spec"],
        protect,
        retainOnDelete: protect,
      });
    },
  );

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

  test.each([
    ["hubCache", "hub-cache", "100Gi"],
    ["compileCache", "compile-cache", "20Gi"],
  ])("%s is a claim of its own, kept as its settings say", async (key, name, size) => {
    const made = await storage({ volume: mine }, { [key]: { volume: hostPath, protect: false } });
    expect(summary(made)).toEqual([
      `PersistentVolume llama-${name}-pv < storage`,
      `PersistentVolumeClaim ${name}-pvc < storage`,
    ]);
    expect(byKind(made, "PersistentVolumeClaim").inputs).toMatchObject({
      metadata: { name: `${name}-pvc`, namespace: "ns" },
      spec: { resources: { requests: { storage: size } } },
    });
    for (const { opts } of made) expect(opts.retainOnDelete).toBe(false);
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
  const credentials = (given: Record<string, string>, generated: GeneratedKey[] = []) =>
    children(
      () =>
        new Credentials("credentials", {
          namespace: "ns",
          generated,
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

  test("generates what MLflow needs and the stack does not give, each value once", async () => {
    const all: GeneratedKey[] = [
      "MLFLOW_DB_PASSWORD",
      "MLFLOW_AUTH_ADMIN_PASSWORD",
      "MLFLOW_FLASK_SERVER_SECRET_KEY",
    ];
    const made = await credentials({ VLLM_API_KEY: "k", MLFLOW_DB_PASSWORD: "p" }, all);
    expect(summary(made)).toEqual([
      "Secret mlflow-auth-secret < credentials",
      "Secret mlflow-database-secret < credentials",
      "Secret vllm-api-key < credentials",
      "RandomPassword credentials-mlflow-auth-admin-password < credentials",
      "RandomPassword credentials-mlflow-flask-server-secret-key < credentials",
    ]);
    expect(Object.keys(redact(made[0]?.inputs["stringData"]) as object)).toEqual([
      "MLFLOW_AUTH_ADMIN_PASSWORD",
      "MLFLOW_FLASK_SERVER_SECRET_KEY",
    ]);
  });

  test("the password of LLaMA Board is generated, or the stack's", async () => {
    const generated: GeneratedKey[] = ["BOARD_PASSWORD"];
    const secrets = ["Secret board-secret < credentials", "Secret vllm-api-key < credentials"];
    expect(summary(await credentials({ VLLM_API_KEY: "k" }, generated))).toEqual([
      ...secrets,
      "RandomPassword credentials-board-password < credentials",
    ]);
    const given = { VLLM_API_KEY: "k", BOARD_PASSWORD: "p" };
    expect(summary(await credentials(given, generated))).toEqual(secrets);
  });

  test("a password for a login that nobody is asked for makes no Secret", async () => {
    const unused = { MLFLOW_AUTH_ADMIN_PASSWORD: "p", BOARD_PASSWORD: "p" };
    const made = await credentials({ VLLM_API_KEY: "k", ...unused });
    expect(summary(made)).toEqual(["Secret vllm-api-key < credentials"]);
  });

  test("every value is in the secret envelope, and no name is given, so a change makes a new Secret", async () => {
    const resources = await credentials({
      HF_TOKEN: "t",
      ARTIFACTORY_URL: "u",
      ARTIFACTORY_USERNAME: "n",
      ARTIFACTORY_PASSWORD: "p",
      GCS_KEY: "{}",
      WANDB_API_KEY: "w",
      MLFLOW_DB_PASSWORD: "d",
      OTLP_HEADERS: "h=1",
    });
    const secrets = resources.filter(({ type }) => type.endsWith(":Secret"));
    expect(secrets.map(({ name }) => name)).toEqual([
      "artifactory-secret",
      "gcs-secret",
      "hf-secret",
      "mlflow-database-secret",
      "otlp-secret",
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
    return children(() => new Images("images", { settings: settings({ images: tree }) }));
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

  test("a fourth one where the front door is on, for every accelerator alike", async () => {
    const made = await children(
      () => new Images("images", { settings: settings({ frontDoor: { enabled: true } }) }),
    );
    expect(made).toHaveLength(4);
    expect(made[0]?.inputs["imageName"]).toBe("registry.test:5000/ml/llm-front-door:0.1.0-cpu");
    expect(made[0]?.inputs["build"]).toEqual({
      context: "images",
      dockerfile: "images/front-door/Dockerfile",
      platform: "linux/amd64",
      builderVersion: "BuilderBuildKit",
      args: { BASE_IMAGE: "debian:12.1", PACKAGE_INDEX: "", APT_MIRROR: "" },
    });
  });

  test("Postgres is the target of MLflow's Dockerfile, and built only where it runs from here", async () => {
    const made = (backend: object) =>
      children(() => new Images("images", { settings: settings({ mlflow: { backend } }) }));
    const built = (await made({ kind: "postgres" })).find(({ name }) => name === "images-postgres");
    expect(built?.inputs).toMatchObject({
      imageName: "registry.test:5000/ml/mlflow-postgres:0.1.0-cpu",
      build: {
        dockerfile: "images/mlflow/Dockerfile",
        target: "postgres",
        args: { BASE_IMAGE: "debian:12.1", PACKAGE_INDEX: "", APT_MIRROR: "" },
      },
    });
    const image = `registry.test/postgres@sha256:${"0".repeat(64)}`;
    expect(await made({ kind: "postgres", image })).toHaveLength(3);
    expect(await made({ kind: "sqlite" })).toHaveLength(3);
  });

  test("certificates of the site are named to every build, by file", async () => {
    const made = await images({ caBundle: "images/ca/site.pem" });
    expect(made).toHaveLength(3);
    for (const { inputs } of made) {
      expect(inputs["build"]).toMatchObject({ args: { CA_BUNDLE: "site.pem" } });
    }
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
    const tree = settings({
      models: [{ name: "m", source: { kind: "volume", path: "x" }, ...change }],
      monitoring: { prometheusUrl: "http://prometheus.test:9090" },
    });
    const [model] = tree.models;
    if (model === undefined) throw new Error("the tree has a model");
    return children(
      () =>
        new ModelServer("m", {
          namespace: "ns",
          model,
          settings: tree,
          images: { inference: "r/i@sha256:0" },
          trained: undefined,
          claims: { modelOutput: "model-output-pvc", hubCache: undefined },
          apiKeySecret: "key-1",
          secrets: {},
        }),
    );
  };

  test("one replica at most: no PodDisruptionBudget", async () => {
    expect(summary(await server({ replicas: { max: 1 } }))).toEqual([
      "Deployment llama-factory-inference-m < m",
      "HorizontalPodAutoscaler llama-inference-hpa-m < m",
      "ConfigMap llama-factory-inference-m < m",
      "Service llama-factory-inference-m < m",
    ]);
  });

  test("with KEDA: a ScaledObject in place of the autoscaler, and replicas are left alone", async () => {
    const made = await server({ autoscaling: { kind: "keda" }, replicas: { min: 0, max: 1 } });
    expect(summary(made)).toEqual([
      "Deployment llama-factory-inference-m < m",
      "ConfigMap llama-factory-inference-m < m",
      "Service llama-factory-inference-m < m",
      "ScaledObject llama-inference-hpa-m < m",
    ]);
    expect(byKind(made, "ScaledObject").inputs).toMatchObject({
      apiVersion: "keda.sh/v1alpha1",
      kind: "ScaledObject",
      metadata: {
        name: "llama-inference-hpa-m",
        namespace: "ns",
        annotations: { "scaledobject.keda.sh/transfer-hpa-ownership": "true" },
      },
      spec: { scaleTargetRef: { name: "llama-factory-inference-m" }, minReplicaCount: 0 },
    });
    const deployment = byKind(made, "Deployment");
    expect(deployment.inputs["spec"]).not.toHaveProperty("replicas");
    expect(deployment.opts.ignoreChanges).toEqual(["spec.replicas"]);
  });

  test("where there can be more: one at a time may be taken away, so no drain waits for ever", async () => {
    const budget = byKind(await server({ replicas: { min: 1, max: 4 } }), "PodDisruptionBudget");
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

describe("FrontDoor", () => {
  const frontDoor = (change: object = {}, tracing?: object) => {
    const models = ["a", "b"].map((name) => ({ name, source: { kind: "volume", path: "x" } }));
    const more = tracing === undefined ? {} : { tracing };
    const tree = settings({ models, frontDoor: { enabled: true, ...change }, ...more });
    return children(
      () =>
        new FrontDoor("front-door", {
          namespace: "ns",
          settings: tree,
          image: "r/f@sha256:0",
          apiKey: pulumi.secret("planted-key"),
          traceHeaders: pulumi.secret("authorization=planted-key"),
        }),
    );
  };

  test("Envoy, its configuration and key, and the pods of each model by name", async () => {
    expect(summary(await frontDoor())).toEqual([
      "Deployment llm-front-door < front-door",
      "ConfigMap llm-front-door < front-door",
      "Secret llm-front-door-key < front-door",
      "Service inference-pods-a < front-door",
      "Service inference-pods-b < front-door",
      "Service llm-front-door < front-door",
      "PodDisruptionBudget llm-front-door < front-door",
    ]);
  });

  test("one pod has no budget, which would block node drains", async () => {
    const kinds = (await frontDoor({ replicas: 1 })).map(({ type }) => type);
    expect(kinds.filter((type) => type.endsWith(":PodDisruptionBudget"))).toEqual([]);
  });

  test("configuration and key have names by content, so that a change rolls the pods", async () => {
    const made = await frontDoor();
    for (const kind of ["ConfigMap", "Secret"]) {
      expect(byKind(made, kind).inputs["metadata"]).toEqual({ namespace: "ns" });
    }
    expect(byKind(made, "Deployment").inputs["spec"]).toMatchObject({
      template: {
        spec: {
          volumes: [
            { configMap: { name: expect.stringMatching(/^llm-front-door-[0-9a-f]{8}$/) } },
            { secret: { secretName: expect.stringMatching(/^llm-front-door-key-[0-9a-f]{8}$/) } },
          ],
        },
      },
    });
  });

  test("the key is in the envelope of its Secret, and nowhere else", async () => {
    const collector = "http://collector.observability.svc:4318/v1/traces";
    for (const { type, inputs } of await frontDoor({}, { kind: "otlp", endpoint: collector })) {
      if (type.endsWith(":Secret")) expect(isSecretEnvelope(inputs["stringData"])).toBe(true);
      else expect(JSON.stringify(inputs)).not.toContain("planted-key");
    }
  });

  test("headers of spans are in that Secret too, where a collector may have them", async () => {
    const endpoint = "http://collector.observability.svc:4318/v1/traces";
    const files = async (tracing?: object) => {
      const secret = byKind(await frontDoor({}, tracing), "Secret").inputs["stringData"];
      expect(isSecretEnvelope(secret)).toBe(true);
      return Object.keys((secret as { value: object }).value);
    };
    expect(await files({ kind: "otlp", endpoint })).toEqual(["api-key.json", "trace-headers.json"]);
    expect(await files({ kind: "mlflow" })).toEqual(["api-key.json"]);
    expect(await files()).toEqual(["api-key.json"]);
  });

  test("an Ingress only where one is set, with the annotations for its controller", async () => {
    const annotations = { "nginx.ingress.kubernetes.io/proxy-buffering": "off" };
    const made = await frontDoor({ ingress: { host: "llm.example.com", annotations } });
    expect(byKind(made, "Ingress").inputs).toMatchObject({
      metadata: { name: "llm-front-door", namespace: "ns", annotations },
      spec: { rules: [{ host: "llm.example.com" }] },
    });
  });
});

describe("what downloads a model", () => {
  const PLANTED = {
    HF_TOKEN: "planted-token",
    ARTIFACTORY_URL: "planted-url",
    ARTIFACTORY_PASSWORD: "planted-password",
    GCS_KEY: "planted-key",
  };
  const publish = { kind: "artifactory", target: "models/tuned" };

  /** Secrets, a training Job and a server together, as index.ts wires them. */
  const platform = (source: object) =>
    children(() => {
      const tree = settings({
        training: {
          configFile: "t.yaml",
          baseModel: source,
          data: { kind: "files", path: "d" },
          publish,
        },
        models: [{ name: "m", source }],
      });
      const [model] = tree.models;
      if (model === undefined || tree.training === undefined) throw new Error("both are there");
      const { names, apiKeySecret } = new Credentials("credentials", {
        namespace: "ns",
        generated: [],
        secrets: Object.fromEntries(
          Object.entries(PLANTED).map(([key, value]) => [key, pulumi.secret(value)]),
        ),
      });
      const common = {
        namespace: "ns",
        settings: tree,
        images: { training: pulumi.output("r/t@sha256:0"), inference: "r/i@sha256:0" },
        claims: { modelOutput: "model-output-pvc", hubCache: undefined, trainingData: undefined },
        secrets: names,
      };
      new TrainingJob("train", {
        ...common,
        files: { settings: tree.training, config: {}, data: {}, commit: "" },
        trackingUri: "http://mlflow:5000",
      });
      return new ModelServer("m", {
        ...common,
        model,
        trained: undefined,
        apiKeySecret,
      });
    });

  test.each<[keyof typeof REMOTE_SOURCES, string]>([
    ["huggingface", "hf-secret"],
    ["artifactory", "artifactory-secret"],
    ["download", "gcs-secret"],
  ])("%s: Job and Deployment refer to %s, and hold no value of it", async (kind, secret) => {
    const made = await platform(REMOTE_SOURCES[kind]);
    const pods = [byKind(made, "Job"), byKind(made, "Deployment")];
    for (const { inputs } of pods) {
      const text = JSON.stringify(inputs);
      expect(text).toContain("fetch-model");
      expect(text).toMatch(new RegExp(`"(name|secretName)":"${secret}-`));
    }
    for (const { type, inputs } of made) {
      if (type.endsWith(":Secret")) expect(isSecretEnvelope(inputs["stringData"])).toBe(true);
      else expect(JSON.stringify(inputs)).not.toContain("planted-");
    }
  });

  test("a mounted bucket has no init container, and the trainer has only what it publishes with", async () => {
    const made = await platform(REMOTE_SOURCES.mount);
    const job = JSON.stringify(byKind(made, "Job").inputs);
    expect(job).not.toContain("fetch-model");
    expect(job).not.toMatch(/HF_TOKEN|gcs-secret/);
    expect(job).toContain("ARTIFACTORY_PASSWORD");
    expect(JSON.stringify(byKind(made, "Deployment").inputs)).not.toContain("ARTIFACTORY");
  });
});

/** A training run of data in the project, queued by Kueue. */
function queuedTraining(change: object): TrainingJob {
  const tree = settings({
    training: {
      configFile: "t.yaml",
      baseModel: { kind: "volume", path: "m" },
      data: { kind: "files", path: "d" },
      queue: "gpu",
      ...change,
    },
  });
  if (tree.training === undefined) throw new Error("it is there");
  return new TrainingJob("train", {
    namespace: "ns",
    settings: tree,
    images: { training: pulumi.output("r/t@sha256:0") },
    claims: { modelOutput: "model-output-pvc", hubCache: undefined, trainingData: undefined },
    secrets: {},
    files: { settings: tree.training, config: {}, data: {}, commit: "" },
    trackingUri: "http://mlflow:5000",
  });
}

test.each([
  [1, []],
  [2, ["Service training-nodes < train"]],
])("training on %s nodes has the Service that names its pods: %j", async (nodes, expected) => {
  const made = await children(() => queuedTraining({ nodes, await: nodes === 1 }));
  expect(summary(made).filter((line) => line.startsWith("Service"))).toEqual(expected);
  const { metadata } = byKind(made, "Job").inputs as {
    metadata: { annotations?: object; labels: object };
  };
  expect(metadata.annotations).toEqual(
    nodes === 1 ? undefined : { "pulumi.com/skipAwait": "true" },
  );
  expect(metadata.labels).toHaveProperty(["kueue.x-k8s.io/queue-name"], "gpu");
});

test("handed to Kubeflow Trainer, training is a TrainJob and the runtime that it runs, and no Job", async () => {
  const made = await children(() => queuedTraining({ nodes: 2, await: false, runner: "trainjob" }));
  expect(summary(made)).toEqual([
    "ConfigMap training-data < train",
    "TrainJob train < train",
    "TrainingRuntime llama-factory-train < train",
  ]);
  const { inputs, opts } = byKind(made, "TrainJob");
  expect(inputs["metadata"]).toMatchObject({
    name: expect.stringMatching(/^llama-factory-train-[0-9a-f]{10}$/) as string,
    namespace: "ns",
    labels: { "kueue.x-k8s.io/queue-name": "gpu" },
  });
  expect(opts).toMatchObject({ replaceOnChanges: ["spec"], deleteBeforeReplace: true });
  const runtime = byKind(made, "TrainingRuntime");
  expect(runtime.inputs["metadata"]).not.toHaveProperty("name");
  expect(runtime.opts.replaceOnChanges).toEqual(["spec"]);
  expect(inputs["spec"]).toMatchObject({
    runtimeRef: { kind: "TrainingRuntime", name: expect.stringMatching(/^llama-factory-train-/) },
  });
});

test("service accounts act as the Google accounts that are set, and policies follow the models", async () => {
  const tree = settings({ models: [{ name: "m", source: REMOTE_SOURCES.mount }], ...IDENTITY });
  const made = await children(() => new PlatformNamespace("llmops", { ...tree, namespace: "ns" }));
  const accounts = made
    .filter(({ type }) => type.endsWith(":ServiceAccount"))
    .map(({ inputs }) => inputs["metadata"]);
  expect(accounts).toEqual([
    {
      name: "llmops-inference",
      namespace: "ns",
      annotations: { "iam.gke.io/gcp-service-account": "serve@acme.iam.gserviceaccount.com" },
    },
    { name: "llmops-mlflow", namespace: "ns" },
    {
      name: "llmops-training",
      namespace: "ns",
      annotations: { "iam.gke.io/gcp-service-account": "train@acme.iam.gserviceaccount.com" },
    },
  ]);
  expect(
    made.filter(({ type }) => type.endsWith(":NetworkPolicy")).map(({ name }) => name),
  ).toEqual(
    expect.arrayContaining([
      "llmops-inference-to-repositories",
      "llmops-inference-to-metadata-server",
    ]),
  );
});

test("the front door has a service account only where it is on", async () => {
  const accounts = async (enabled: boolean) => {
    const tree = { ...settings({ frontDoor: { enabled } }), namespace: "ns" };
    const made = await children(() => new PlatformNamespace("llmops", tree));
    return made.filter(({ type }) => type.endsWith(":ServiceAccount")).map(({ name }) => name);
  };
  expect(await accounts(false)).not.toContain("llmops-front-door");
  expect(await accounts(true)).toContain("llmops-front-door");
});

const volume = { kind: "storageClass" };

test.each([
  ["one of its claims is", { modelOutput: { volume, protect: false }, mlflow: { volume } }, true],
  ["no claim is", { modelOutput: { volume, protect: false } }, false],
])("the namespace is protected exactly when %s", async (_when, storage, kept) => {
  const tree = settings({ storage });
  const made = await children(() => new PlatformNamespace("llmops", tree));
  const { opts } = byKind(made, "Namespace");
  expect([opts.protect, opts.retainOnDelete, opts.import]).toEqual([kept, kept, undefined]);
});

test("a namespace to adopt is imported, and left as it is", async () => {
  const tree = settings({ namespace: "ns", adoptNamespace: true });
  const made = await children(() => new PlatformNamespace("llmops", tree));
  const { import: id, ignoreChanges } = byKind(made, "Namespace").opts;
  expect([id, ignoreChanges]).toEqual(["ns", ["metadata", "spec"]]);
});

test("the namespace lets in restricted pods only", async () => {
  const resources = await children(
    () => new PlatformNamespace("llmops", { ...settings(), namespace: "ns" }),
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
