import { existsSync, readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { ProgramRun, Registered } from "../support/program";
import { isSecretEnvelope, kubernetesObjects, redact, stackFile } from "../support/program";
import { runStack } from "../support/stack";

const STACKS = ["airgapped", "dev", "local", "prod"] as const;

/** A value for each secret; none may be seen anywhere but in a Secret. */
const PLANTED = {
  HF_TOKEN: "planted-hub-token",
  ARTIFACTORY_URL: "planted-artifactory-url",
  ARTIFACTORY_USERNAME: "planted-artifactory-user",
  ARTIFACTORY_PASSWORD: "planted-artifactory-password",
  GCS_KEY: "planted-gcs-key",
  VLLM_API_KEY: "planted-api-key",
  MLFLOW_DB_PASSWORD: "planted-database-password",
};

/** Secrets of MLflow's login; only `prod` has one, and its values are generated. */
const LOGIN_KEYS = ["MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"];

/** Kinds that hold data; each needs an explicit choice of what becomes of it. */
const STATEFUL =
  /:(PersistentVolume|PersistentVolumeClaim|StatefulSet|Bucket|Repository|DatabaseInstance)$/;

interface PodSpec {
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly enableServiceLinks?: boolean;
  readonly hostNetwork?: boolean;
  readonly securityContext?: object;
  readonly volumes?: readonly object[];
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: object;
  }[];
  readonly resources?: { readonly requests?: object; readonly limits?: object };
  readonly securityContext?: object;
  readonly volumeMounts: readonly { readonly mountPath: string; readonly readOnly?: boolean }[];
}

const containersOf = (spec: PodSpec): readonly Container[] => [
  ...(spec.initContainers ?? []),
  ...spec.containers,
];

/** Init containers that download a model, by the workload's name. */
function fetches(run: ProgramRun): Record<string, readonly string[]> {
  const objects = kubernetesObjects(run) as {
    metadata: { name: string };
    spec?: { template?: { spec?: PodSpec } };
  }[];
  return Object.fromEntries(
    objects.flatMap(({ metadata, spec }) => {
      const containers = spec?.template?.spec?.initContainers ?? [];
      const init = containers.filter((container) => container.name === "fetch-model");
      const name = metadata.name.replace(/-[0-9a-f]{10}$/, "");
      return init.map(({ args = [] }) => [name, args.slice(0, 4)]);
    }),
  );
}

/** What each policy lets out of the cluster, as `address:port`. */
function egress(run: ProgramRun): Record<string, readonly string[]> {
  const policies = kubernetesObjects(run).filter(({ kind }) => kind === "NetworkPolicy") as {
    metadata: { name: string };
    spec: {
      egress?: {
        to: { ipBlock?: { cidr: string } }[];
        ports: { port: number }[];
      }[];
    };
  }[];
  const open = policies.map(({ metadata, spec }) => {
    const blocks = (spec.egress ?? []).flatMap(({ to, ports }) =>
      to.flatMap(({ ipBlock }) =>
        ipBlock === undefined ? [] : ports.map(({ port }) => `${ipBlock.cidr}:${String(port)}`),
      ),
    );
    return [metadata.name, blocks] as const;
  });
  return Object.fromEntries(open.filter(([, blocks]) => blocks.length > 0));
}

interface PodTemplate {
  readonly template?: { readonly spec?: PodSpec };
}

/** Pods of Deployments, StatefulSets, Jobs and CronJobs. */
function podSpecs(run: ProgramRun): PodSpec[] {
  return kubernetesObjects(run).flatMap((object) => {
    const { spec } = object as { spec?: PodTemplate & { jobTemplate?: { spec: PodTemplate } } };
    const pod = (spec?.jobTemplate?.spec ?? spec)?.template?.spec;
    return pod === undefined ? [] : [pod];
  });
}

/** The pods that train and serve: the others know nothing of models. */
function modelPods(run: ProgramRun): PodSpec[] {
  return podSpecs(run).filter(({ serviceAccountName = "" }) =>
    ["llmops-training", "llmops-inference"].includes(serviceAccountName),
  );
}

const named = (resources: readonly Registered[], kind: string): readonly Registered[] =>
  resources.filter(({ type }) => type.endsWith(`:${kind}`));

/** What of a stack's run is on Google Cloud, with what is kept when it is destroyed. */
function googleResources({ resources }: ProgramRun): object[] {
  return resources
    .filter(({ type }) => type.startsWith("gcp:"))
    .map(({ type, name, inputs, opts: { protect = false } }) => {
      const kept = protect ? { protect } : {};
      return { type, name, ...kept, inputs: redact(inputs) };
    });
}

/** Compares with a golden file, or writes it anew where that is asked for. */
function expectGolden(name: string, objects: readonly unknown[]): void {
  const text = objects.map((object) => stringify(object)).join("---\n");
  const folder = join(__dirname, "golden");
  const file = join(folder, `${name}.yaml`);
  if (process.env["UPDATE_GOLDEN"] === "1") {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, text);
  }
  expect(existsSync(file)).toBe(true);
  expect(text).toBe(readFileSync(file, "utf8"));
}

test.each(["dev", "prod"])("%s makes on Google Cloud what its golden file shows", async (stack) => {
  expectGolden(`${stack}-gcp`, googleResources(await runStack(stackFile(stack))));
});

test.each(["airgapped", "local"])("%s makes nothing on Google Cloud", async (stack) => {
  expect(googleResources(await runStack(stackFile(stack)))).toEqual([]);
});

describe.each(STACKS)("stack %s", (stack) => {
  let run: Promise<ProgramRun>;
  beforeAll(() => {
    run = runStack(stackFile(stack));
  });

  test("makes the objects that its golden file shows", async () => {
    expectGolden(stack, kubernetesObjects(await run).map(redact));
  });

  test("is the same when it runs again", async () => {
    const again = await runStack(stackFile(stack));
    expect(kubernetesObjects(again)).toEqual(kubernetesObjects(await run));
  });

  test("every pod is restricted, has requests and limits, and runs an image by digest", async () => {
    const specs = podSpecs(await run);
    expect(specs.length).toBeGreaterThanOrEqual(3);
    for (const spec of specs) {
      expect(spec).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      });
      expect(spec.hostNetwork).toBeUndefined();
      expect(spec.volumes?.some((volume) => "hostPath" in volume)).toBe(false);
      for (const { image, resources, securityContext } of containersOf(spec)) {
        expect(image).toMatch(/@sha256:[0-9a-f]{64}$/);
        expect(resources?.requests).toMatchObject({ cpu: expect.any(String) });
        expect(resources?.limits).toMatchObject({ memory: expect.any(String) });
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
        });
      }
    }
  });

  test("trainers and servers never ask the hub, and only what downloads may write where models lie", async () => {
    for (const spec of modelPods(await run)) {
      for (const { name, env = [], volumeMounts } of containersOf(spec)) {
        const offline = env.find((variable) => variable.name === "HF_HUB_OFFLINE")?.value;
        if (name !== "fetch-model") expect({ name, offline }).toEqual({ name, offline: "1" });
        for (const { mountPath, readOnly } of volumeMounts) {
          if (!mountPath.startsWith("/models")) continue;
          expect({ name, readOnly: readOnly === true }).toEqual({
            name,
            readOnly: name !== "fetch-model",
          });
        }
      }
    }
  });

  test("secrets of repositories reach only the containers that use them, by reference", async () => {
    const full = await runStack({ ...stackFile(stack), secrets: PLANTED });
    for (const { name, args = [], env = [] } of modelPods(full).flatMap(containersOf)) {
      const referenced = env
        .filter(({ valueFrom }) => valueFrom !== undefined && "secretKeyRef" in valueFrom)
        .map((variable) => variable.name)
        .filter((key) => !["VLLM_API_KEY", "MLFLOW_TRACKING_PASSWORD"].includes(key));
      const published = env.find((variable) => variable.name === "LLMOPS_PUBLISH")?.value ?? "";
      const used = `${name === "fetch-model" ? (args[1] ?? "") : ""} ${published}`;
      expect(referenced).toEqual([
        ...(used.includes("huggingface") ? ["HF_TOKEN"] : []),
        ...(used.includes("artifactory")
          ? ["ARTIFACTORY_URL", "ARTIFACTORY_USERNAME", "ARTIFACTORY_PASSWORD"]
          : []),
      ]);
    }
  });

  test("every stateful resource has an explicit choice, the same for protect and retain", async () => {
    const stateful = (await run).resources.filter(({ type }) => STATEFUL.test(type));
    expect(stateful.length).toBeGreaterThan(0);
    for (const { opts } of stateful) {
      expect(typeof opts.protect).toBe("boolean");
      expect(opts.retainOnDelete).toBe(opts.protect);
    }
  });

  test("no Deployment under an autoscaler sets replicas", async () => {
    const objects = kubernetesObjects(await run) as {
      kind: string;
      metadata: { name: string };
      spec?: { replicas?: number; scaleTargetRef?: { name: string } };
    }[];
    const targets = objects.flatMap(({ spec }) => spec?.scaleTargetRef?.name ?? []);
    expect(targets.length).toBeGreaterThan(0);
    const scaled = objects.filter(
      ({ kind, metadata }) => kind === "Deployment" && targets.includes(metadata.name),
    );
    expect(scaled).toHaveLength(targets.length);
    for (const { spec } of scaled) expect(spec).not.toHaveProperty("replicas");
  });

  test("an update waits for Deployments, and never for the Services in front of them", async () => {
    const objects = kubernetesObjects(await run) as {
      kind: string;
      metadata: { annotations?: Record<string, string> };
    }[];
    const skipped = (wanted: string): unknown[] =>
      objects
        .filter(({ kind }) => kind === wanted)
        .map(({ metadata }) => metadata.annotations?.["pulumi.com/skipAwait"]);
    expect(new Set(skipped("Service"))).toEqual(new Set(["true"]));
    expect(new Set(skipped("Deployment"))).toEqual(new Set([undefined]));
  });

  test("a model that serves the training run waits for the run", async () => {
    const { resources } = await run;
    const server = resources.find(
      ({ type, name }) => type === "llmops:index:ModelServer" && name === "lumen7",
    );
    const waitsFor = [server?.opts.dependsOn].flat().map((resource) => {
      return (resource as { __name?: string } | undefined)?.__name;
    });
    expect(waitsFor).toEqual(["llama-factory-train"]);
  });

  test("secrets are in Secrets, in the envelope, and nowhere else", async () => {
    const { resources, outputs } = await runStack({ ...stackFile(stack), secrets: PLANTED });
    for (const { type, inputs } of resources) {
      const plain = JSON.stringify(redact(inputs));
      for (const value of Object.values(PLANTED)) expect(plain).not.toContain(value);
      if (!type.endsWith(":Secret")) expect(JSON.stringify(inputs)).not.toContain("planted-");
    }
    expect(JSON.stringify(redact(outputs))).not.toContain("planted-");
    const data = named(resources, "Secret").map(({ inputs }) => inputs["stringData"]);
    expect(data.every(isSecretEnvelope)).toBe(true);
    const doors = named(resources, "FrontDoor").map(() => "api-key.json");
    expect(data.flatMap((values) => Object.keys(redact(values) as object)).sort()).toEqual(
      [...Object.keys(PLANTED), ...doors, ...(stack === "prod" ? LOGIN_KEYS : [])].sort(),
    );
  });

  test("a changed secret changes no name: only the Secret itself and the pods that read it", async () => {
    const other = { ...PLANTED, HF_TOKEN: "planted-another-token" };
    const before = await runStack({ ...stackFile(stack), secrets: PLANTED });
    const after = await runStack({ ...stackFile(stack), secrets: other });
    expect(kubernetesObjects(after).map(redact)).toEqual(kubernetesObjects(before).map(redact));
  });
});

describe("models come from where the stack says, and pods get out only for that", () => {
  const PUBLIC = ["0.0.0.0/0:443"];
  const METADATA = ["169.254.169.252/32:988", "169.254.169.254/32:80"];
  const SITE = ["192.0.2.10/32:443", "199.36.153.4/30:443"];
  const SMOLLM2 = "models/SmolLM2-135M-Instruct";

  test("local: everything is on the volume, and nothing gets out", async () => {
    const run = await runStack(stackFile("local"));
    expect(fetches(run)).toEqual({});
    expect(egress(run)).toEqual({});
  });

  test("dev: training downloads its base model from the hub", async () => {
    const run = await runStack(stackFile("dev"));
    expect(fetches(run)).toEqual({
      "llama-factory-train": [
        "fetch",
        "huggingface",
        "--id",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
      ],
    });
    expect(egress(run)).toEqual({ "training-to-repositories": PUBLIC });
  });

  test("prod: a bucket is downloaded for training and mounted for serving, by identity", async () => {
    const run = await runStack(stackFile("prod"));
    const uri = "gs://example-models/base/SmolLM2-135M-Instruct";
    expect(fetches(run)).toEqual({ "llama-factory-train": ["fetch", "gcs", "--uri", uri] });
    expect(egress(run)).toEqual({
      "training-to-repositories": PUBLIC,
      "inference-to-repositories": PUBLIC,
      "training-to-metadata-server": METADATA,
      "inference-to-metadata-server": METADATA,
      "mlflow-to-repositories": PUBLIC,
      "mlflow-to-metadata-server": METADATA,
    });
    const pods = kubernetesObjects(run) as { metadata: { name: string }; spec?: object }[];
    const pod = (name: string) => pods.find(({ metadata, spec }) => metadata.name === name && spec);
    expect(JSON.stringify(pod("llama-factory-inference-smollm2"))).toContain("gcsfuse.csi");
    expect(JSON.stringify(pod("llama-factory-inference-lumen7"))).not.toContain("gcsfuse");
    expect(JSON.stringify(pods)).not.toContain("GOOGLE_APPLICATION_CREDENTIALS");
  });

  test("airgapped: only the site's repository and Cloud Storage's private address", async () => {
    const run = await runStack(stackFile("airgapped"));
    expect(fetches(run)).toEqual({
      "llama-factory-train": ["fetch", "artifactory", "--path", `${SMOLLM2}.tar.zst`],
      "llama-factory-inference-smollm2": ["fetch", "artifactory", "--path", SMOLLM2],
      "llama-factory-inference-qwen3": ["fetch", "gcs", "--uri", "gs://site-models/Qwen3-8B"],
    });
    expect(egress(run)).toEqual({
      "training-to-repositories": SITE,
      "inference-to-repositories": SITE,
    });
  });

  test("airgapped: nothing of Hugging Face, whatever container", async () => {
    const run = await runStack(stackFile("airgapped"));
    const containers = modelPods(run).flatMap(containersOf);
    expect(containers.map(({ name }) => name)).toContain("fetch-model");
    for (const { env, args } of containers) {
      expect(env).toContainEqual({ name: "HF_HUB_OFFLINE", value: "1" });
      expect(env).toContainEqual({ name: "TRANSFORMERS_OFFLINE", value: "1" });
      expect(JSON.stringify(args)).not.toMatch(/hugging/i);
    }
    const everything = JSON.stringify(kubernetesObjects(run));
    expect(everything).not.toMatch(/HF_TOKEN|hf-secret|HF_ENDPOINT|huggingface\.co/);
    expect(everything.replaceAll("/home/app/.cache/huggingface", "")).not.toMatch(/huggingface/i);
  });

  test("airgapped: images are built from the site's own mirrors, with its certificates", async () => {
    const run = await runStack(stackFile("airgapped"));
    const images = named(run.resources, "Image");
    expect(images).toHaveLength(3);
    for (const { inputs } of images) {
      expect(inputs["build"]).toMatchObject({
        args: {
          BASE_IMAGE: expect.stringMatching(/^registry\.site\.example\/.*@sha256:[0-9a-f]{64}$/),
          PACKAGE_INDEX: expect.stringMatching(/^https:\/\/repository\.site\.example\//),
          APT_MIRROR: expect.stringMatching(/^https:\/\/repository\.site\.example\//),
          CA_BUNDLE: "example.pem",
        },
      });
    }
  });
});

describe("MLflow is where the stack says", () => {
  const claims = async (stack: string) =>
    (await runStack(stackFile(stack))).resources
      .filter(({ type, name }) => type.endsWith(":PersistentVolumeClaim") && /mlflow/.test(name))
      .map(({ name, opts }) => `${name} ${opts.protect === true ? "protected" : "not protected"}`);

  test("prod: Postgres on a protected claim, dumps on another, artifacts in a bucket", async () => {
    expect(await claims("prod")).toEqual([
      "mlflow-backup-pvc protected",
      "mlflow-database-pvc protected",
    ]);
    const images = named((await runStack(stackFile("prod"))).resources, "Image");
    expect(images.map(({ name }) => name)).toContain("images-postgres");
  });

  test.each(["airgapped", "dev", "local"])(
    "%s: SQLite and artifacts on one claim",
    async (stack) => {
      const run = await runStack(stackFile(stack));
      expect((await claims(stack)).map((claim) => claim.split(" ")[0])).toEqual(["mlflow-pvc"]);
      expect(named(run.resources, "StatefulSet")).toEqual([]);
      expect(named(run.resources, "CronJob")).toEqual([]);
    },
  );
});

describe("wrong configuration stops the program before anything is made", () => {
  test("all faults at once", async () => {
    const { settings } = stackFile("dev");
    const input = {
      stack: "dev",
      settings: { ...settings, modles: [], models: [], namespace: "Not_A_Name" },
    };
    await expect(runStack(input)).rejects.toThrow(/has 3 faults; nothing was created/);
  });

  test("a secret that is missing is named with the command to type", async () => {
    const { settings } = stackFile("dev");
    const training = { ...(settings["training"] as object), tracking: { wandb: true } };
    await expect(runStack({ stack: "dev", settings: { ...settings, training } })).rejects.toThrow(
      "pulumi config set --secret WANDB_API_KEY",
    );
  });

  test("faults of sources, secrets and files come together", async () => {
    const { settings } = stackFile("airgapped");
    const rest = Object.fromEntries(
      Object.entries(settings).filter(([section]) => section !== "training"),
    );
    const images = { ...(settings["images"] as object), caBundle: "images/ca/none.pem" };
    const models = [
      { name: "a", source: { kind: "gcs", uri: "gs://models/a", access: "mount" } },
      { name: "b", source: { kind: "artifactory", path: "b.zip" } },
    ];
    const input = { stack: "airgapped", settings: { ...rest, images, models } };
    await expect(runStack(input)).rejects.toThrow(
      /has 3 faults[^]*models\[0\]\.source\.access[^]*images\.caBundle[^]*pulumi config set --secret ARTIFACTORY_URL/,
    );
  });

  test.each([
    ["no/such/file.yaml", /"no\/such\/file\.yaml": Error: ENOENT/],
    ["README.md", /training\.configFile/],
  ])("training file %s", async (configFile, message) => {
    const { settings } = stackFile("dev");
    const training = { ...(settings["training"] as object), configFile };
    await expect(runStack({ stack: "dev", settings: { ...settings, training } })).rejects.toThrow(
      message,
    );
  });

  test("a secret under a name that is none is refused and not shown", async () => {
    const input = { ...stackFile("dev"), secrets: { HF_TOKN: "planted-value" } };
    await expect(runStack(input)).rejects.toThrow(/HF_TOKN[^]*encrypted value \(not shown\)/);
    await expect(runStack(input)).rejects.not.toThrow(/planted-value/);
  });
});

describe("production with the front door", () => {
  const { stack, settings } = stackFile("prod");
  const open = { enabled: true, ingress: { host: "llm.example.com", tlsSecret: "cert" } };
  const input = { stack, settings: { ...settings, frontDoor: open }, secrets: PLANTED };
  const byName = (run: ProgramRun): Map<string, object> =>
    new Map(
      kubernetesObjects(run).map((object) => {
        const { kind, metadata } = object as { kind: string; metadata: { name: string } };
        return [`${kind} ${metadata.name.replace(/-[0-9a-f]{8}$/, "")}`, object];
      }),
    );

  test("is new objects, and of the others only the policy that lets it in changes", async () => {
    const before = byName(await runStack({ stack, settings, secrets: PLANTED }));
    const after = byName(await runStack(input));
    const added = [...after.keys()].filter((name) => !before.has(name));
    expect(added.sort()).toEqual([
      "ConfigMap llm-front-door",
      "Deployment llm-front-door",
      "Ingress llm-front-door",
      "NetworkPolicy front-door",
      "PodDisruptionBudget llm-front-door",
      "Secret llm-front-door-key",
      "Service inference-pods-lumen7",
      "Service inference-pods-smollm2",
      "Service llm-front-door",
      "ServiceAccount llmops-front-door",
    ]);
    const changed = [...before].filter(
      ([name, object]) => JSON.stringify(after.get(name)) !== JSON.stringify(object),
    );
    expect(changed.map(([name]) => name)).toEqual(["NetworkPolicy inference"]);
  });

  test("has its own image, and its address among the outputs", async () => {
    const { resources, outputs } = await runStack(input);
    const images = named(resources, "Image").map(({ name }) => name);
    expect(images).toContain("images-front-door");
    expect(outputs["endpoints"]).toMatchObject({
      frontDoor: {
        url: "http://llm-front-door.llmops.svc:8080/v1",
        public: "https://llm.example.com/v1",
      },
    });
  });

  test("shows the key nowhere but in Secrets", async () => {
    const { resources } = await runStack(input);
    for (const { type, inputs } of resources) {
      if (!type.endsWith(":Secret")) expect(JSON.stringify(inputs)).not.toContain("planted-");
      expect(JSON.stringify(redact(inputs))).not.toContain("planted-");
    }
  });
});

test("dev on the namespace and the claim of plain manifests: both are imported, and no volume is made", async () => {
  const { settings, ...dev } = stackFile("dev");
  const volume = { kind: "existingClaim", name: "model-output-pvc", adopt: true };
  const storage = { ...(settings["storage"] as object), modelOutput: { volume } };
  const change = { adoptNamespace: true, namespace: "ml", storage };
  const { resources } = await runStack({ ...dev, settings: { ...settings, ...change } });
  const imported = resources.flatMap(({ name, opts }) =>
    opts.import === undefined ? [] : [`${name} ${opts.import}`],
  );
  expect(imported.sort()).toEqual(["llmops ml", "model-output-pvc ml/model-output-pvc"]);
  expect(named(resources, "PersistentVolume")).toEqual([]);
});
