import { policies } from "../../policy/pack";
import type { ResourceRule, StackRule } from "../../policy/rule";
import { imageByDigest, imageRegistry } from "../../policy/rules/images";
import { defaultDeny, publicNeedsKey } from "../../policy/rules/network";
import {
  namespaceRestricted,
  noServiceAccountToken,
  podRestricted,
} from "../../policy/rules/podSecurity";
import { gpuRequestIsLimit, resourcesSet } from "../../policy/rules/resources";
import { autoscalerOwnsReplicas } from "../../policy/rules/scaling";
import { noPlainSecret, secretsStayInSecrets } from "../../policy/rules/secrets";
import { statefulProtected } from "../../policy/rules/state";
import type { Fields, Value } from "../../policy/values";
import { UNKNOWN, plain } from "../../policy/values";
import { resource } from "../support/policy";

const DIGEST = `sha256:${"a".repeat(64)}`;

const RESTRICTED: Fields = {
  automountServiceAccountToken: false,
  securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
};

/** A container that breaks no rule, with a change. */
const container = (change: Fields = {}): Fields => ({
  name: "main",
  image: `registry.test/ml/one@${DIGEST}`,
  resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { memory: "1Gi" } },
  securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
  ...change,
});

const deployment = (spec: Value) =>
  resource("kubernetes:apps/v1:Deployment", { spec: { template: { spec } } });

const faultsOf = (rule: ResourceRule, change: Fields, settings = {}): readonly string[] =>
  rule.check(deployment({ ...RESTRICTED, containers: [container(change)] }), settings);

const none: readonly string[] = [];

describe("image-by-digest", () => {
  test.each<[string, Value, readonly string[]]>([
    ["by digest", `r.test/one@${DIGEST}`, none],
    ["by tag and digest", `r.test/one:1@${DIGEST}`, none],
    ["by tag", "r.test/one:1", ["Container main runs r.test/one:1, which is no digest."]],
    ["by latest", "one", ["Container main runs one, which is no digest."]],
    ["of an image not built yet", UNKNOWN, none],
    ["of no image", undefined, none],
  ])("%s", (_, image, faults) => {
    expect(faultsOf(imageByDigest, { image })).toEqual(faults);
  });

  test("looks at init containers too, and at every kind of workload", () => {
    const pod = { spec: { initContainers: [{ name: "first", image: "one" }] } };
    const said = ["Container first runs one, which is no digest."];
    const check = (type: string, props: Value) => imageByDigest.check(resource(type, props), {});
    expect(check("kubernetes:core/v1:Pod", pod)).toEqual(said);
    for (const kind of ["apps/v1:StatefulSet", "apps/v1:DaemonSet", "batch/v1:Job"]) {
      expect(check(`kubernetes:${kind}`, { spec: { template: pod } })).toEqual(said);
    }
    const cron = { spec: { jobTemplate: { spec: { template: pod } } } };
    expect(check("kubernetes:batch/v1:CronJob", cron)).toEqual(said);
    const replicatedJobs = [{}, { template: { spec: { template: pod } } }];
    const runtime = { spec: { template: { spec: { replicatedJobs } } } };
    for (const kind of ["TrainingRuntime", "ClusterTrainingRuntime"]) {
      expect(check(`kubernetes:trainer.kubeflow.org/v1alpha1:${kind}`, runtime)).toEqual(said);
    }
    expect(check("kubernetes:core/v1:ConfigMap", pod)).toEqual([]);
  });
});

describe("image-registry", () => {
  const allowed = ["registry.test/ml", "localhost:5000"];
  test.each<[Value, readonly string[]]>([
    [`registry.test/ml/one@${DIGEST}`, none],
    ["localhost:5000/one:1", none],
    [
      "registry.test/mlx/one",
      ["Container main runs registry.test/mlx/one, of none of: registry.test/ml, localhost:5000."],
    ],
    ["one", ["Container main runs one, of none of: registry.test/ml, localhost:5000."]],
    [UNKNOWN, none],
    [undefined, none],
  ])("%p", (image, faults) => {
    expect(faultsOf(imageRegistry, { image }, { allowed })).toEqual(faults);
  });
});

describe("no-plain-secret", () => {
  const variable = (name: string, value: Value) =>
    faultsOf(noPlainSecret, { env: [{ name, value }] });
  test.each<[string, Value]>([
    ["HF_TOKEN", "abc"],
    ["DATABASE_PASSWORD", "abc"],
    ["api-key", "abc"],
    ["HEADERS", "Bearer hf_abcdefghijklmnopqrstuvwx"],
    ["DATABASE_URL", "postgresql://mlflow:pass@db:5432/mlflow"],
    ["KEY_FILE", '{"private_key": "x"}'],
  ])("the variable %s=%p is found, and its value is not shown", (name, value) => {
    expect(variable(name, value)).toEqual([
      `Container main has the variable ${name} in plain text.`,
    ]);
  });

  test.each<[string, Value]>([
    ["HF_TOKEN", ""],
    ["HF_TOKEN", UNKNOWN],
    ["HF_TOKEN", undefined],
    ["GOOGLE_APPLICATION_CREDENTIALS", "/secrets/key.json"],
    ["DATABASE_PASSWORD", "$(OTHER)"],
    ["MAX_TOKENS", "512"],
    ["DATABASE_URL", "postgresql://mlflow:$(PASSWORD)@db:5432/mlflow"],
    ["ENDPOINT", "https://host.test/path"],
  ])("the variable %s=%p is none", (name, value) => {
    expect(variable(name, value)).toEqual([]);
  });

  test("a reference to a Secret is none", () => {
    const env = [{ name: "HF_TOKEN", valueFrom: { secretKeyRef: { name: "s", key: "HF_TOKEN" } } }];
    expect(faultsOf(noPlainSecret, { env })).toEqual([]);
  });

  test.each<[string, readonly Value[], readonly string[]]>([
    [
      "a flag and its value",
      ["--api-key", "abc"],
      ["Container main has the value of --api-key on its command line."],
    ],
    [
      "a flag with =",
      ["--password=abc"],
      ["Container main has the value of --password on its command line."],
    ],
    [
      "a token by its form",
      ["AKIAABCDEFGHIJKLMNOP"],
      ["Container main has a secret on its command line."],
    ],
    ["a variable", ["--api-key", "$(VLLM_API_KEY)", "--token=$(T)"], none],
    ["a file", ["--api-key", "/secrets/key"], none],
    ["a value not known yet", ["--api-key", UNKNOWN], none],
  ])("command line: %s", (_, args, faults) => {
    expect(faultsOf(noPlainSecret, { args })).toEqual(faults);
    expect(faultsOf(noPlainSecret, { command: args })).toEqual(faults);
  });

  test("a key in a ConfigMap", () => {
    const data: Fields = {
      "key.pem": "-----BEGIN PRIVATE KEY-----",
      "plain.txt": "text",
      later: UNKNOWN,
    };
    expect(noPlainSecret.check(resource("kubernetes:core/v1:ConfigMap", { data }), {})).toEqual([
      "The key key.pem holds a secret.",
    ]);
  });
});

describe("resources-set", () => {
  test.each<[string, Value, readonly string[]]>([
    ["all", { requests: { cpu: "1", memory: "1Gi" }, limits: { memory: "1Gi" } }, none],
    ["none known yet", UNKNOWN, none],
    ["limits not known yet", { requests: { cpu: "1", memory: "1Gi" }, limits: UNKNOWN }, none],
    [
      "no limits",
      { requests: { cpu: "1", memory: "1Gi" } },
      ["Container main has no resources.limits.memory."],
    ],
    [
      "nothing",
      undefined,
      [
        "Container main has no resources.requests.cpu.",
        "Container main has no resources.requests.memory.",
        "Container main has no resources.limits.memory.",
      ],
    ],
  ])("%s", (_, resources, faults) => {
    expect(faultsOf(resourcesSet, { resources })).toEqual(faults);
  });
});

describe("gpu-request-is-limit", () => {
  test.each<[Value, Value, readonly string[]]>([
    ["1", "1", none],
    [1, "1", none],
    [undefined, undefined, none],
    ["1", UNKNOWN, none],
    ["1", "2", ["Container main requests 1 of nvidia.com/gpu, limit 2."]],
    [undefined, "1", ["Container main requests none of nvidia.com/gpu, limit 1."]],
    ["1", undefined, ["Container main requests 1 of nvidia.com/gpu, limit none."]],
    ["500m", "500m", ["Container main requests 500m of nvidia.com/gpu, limit 500m."]],
  ])("request %p, limit %p", (request, limit, faults) => {
    const amount = (value: Value): Fields =>
      value === undefined ? {} : { "nvidia.com/gpu": value };
    const resources = { requests: amount(request), limits: amount(limit) };
    expect(faultsOf(gpuRequestIsLimit, { resources })).toEqual(faults);
  });
});

describe("pod-restricted", () => {
  const pod = (change: Fields) =>
    podRestricted.check(deployment({ ...RESTRICTED, containers: [container()], ...change }), {});
  const secured = (change: Fields) =>
    faultsOf(podRestricted, {
      securityContext: {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
        ...change,
      },
    });

  test.each<[string, Fields, readonly string[]]>([
    ["as it should be", {}, none],
    ["hostNetwork", { hostNetwork: true }, ["The pod sets hostNetwork."]],
    ["hostPID", { hostPID: true }, ["The pod sets hostPID."]],
    [
      "hostPath",
      { volumes: [{ name: "v", hostPath: { path: "/" } }] },
      ["The pod has a volume of kind hostPath."],
    ],
    ["a claim", { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "c" } }] }, none],
    ["volumes not known yet", { volumes: UNKNOWN }, none],
    ["context not known yet", { securityContext: UNKNOWN }, none],
    [
      "no context",
      { securityContext: undefined },
      ["Container main does not set runAsNonRoot.", "Container main has no seccomp profile."],
    ],
  ])("pod: %s", (_, change, faults) => {
    expect(pod(change)).toEqual(faults);
  });

  test.each<[string, Fields, readonly string[]]>([
    ["privileged", { privileged: true }, ["Container main is privileged."]],
    [
      "escalation",
      { allowPrivilegeEscalation: undefined },
      ["Container main may gain privileges."],
    ],
    ["escalation not known yet", { allowPrivilegeEscalation: UNKNOWN }, none],
    ["capabilities kept", { capabilities: {} }, ["Container main does not drop ALL capabilities."]],
    [
      "capabilities added",
      { capabilities: { drop: ["ALL"], add: ["SYS_ADMIN"] } },
      ["Container main adds capabilities."],
    ],
    ["one that is allowed", { capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] } }, none],
    ["root", { runAsUser: 0 }, ["Container main runs as root."]],
    [
      "unconfined",
      { seccompProfile: { type: "Unconfined" } },
      ["Container main has no seccomp profile."],
    ],
  ])("container: %s", (_, change, faults) => {
    expect(secured(change)).toEqual(faults);
  });

  test("a port of the node", () => {
    const ports = [{ containerPort: 80, hostPort: 80 }];
    expect(faultsOf(podRestricted, { ports })).toEqual([
      "Container main takes a port of the node.",
    ]);
  });

  test("pods that are not known yet are looked at when they are", () => {
    expect(podRestricted.check(deployment(UNKNOWN), {})).toEqual([]);
    expect(podRestricted.check(resource("kubernetes:batch/v1:Job", { spec: UNKNOWN }), {})).toEqual(
      [],
    );
    expect(podRestricted.check(resource("gcp:storage/bucket:Bucket", {}), {})).toEqual([]);
  });
});

test.each<[Value, number]>([
  ["restricted", 0],
  [UNKNOWN, 0],
  ["baseline", 1],
  [undefined, 1],
])("namespace-restricted: %p", (level, faults) => {
  const labels: Fields = { "pod-security.kubernetes.io/enforce": level };
  const namespace = resource("kubernetes:core/v1:Namespace", { metadata: { labels } });
  expect(namespaceRestricted.check(namespace, {})).toHaveLength(faults);
});

test.each<[Value, number]>([
  [false, 0],
  [UNKNOWN, 0],
  [true, 1],
  [undefined, 1],
])("no-service-account-token: %p", (automountServiceAccountToken, faults) => {
  const pod = deployment({ automountServiceAccountToken, containers: [] });
  expect(noServiceAccountToken.check(pod, {})).toHaveLength(faults);
});

describe("stateful-protected", () => {
  const check = (type: string, protect: boolean, props: Fields = {}, stack = "prod") =>
    statefulProtected.check(
      resource(type, props, { protect, urn: `urn:pulumi:${stack}::llmops::${type}::it` }),
      { stacks: ["prod"] },
    );
  const unprotected = ["It holds data, and is not protected."];

  test.each([
    "kubernetes:core/v1:PersistentVolumeClaim",
    "kubernetes:core/v1:PersistentVolume",
    "gcp:storage/bucket:Bucket",
    "gcp:sql/databaseInstance:DatabaseInstance",
  ])("%s", (type) => {
    expect(check(type, true)).toEqual([]);
    expect(check(type, false)).toEqual(unprotected);
    expect(check(type, false, {}, "dev")).toEqual([]);
  });

  test("a StatefulSet holds data in claims that it makes itself", () => {
    const type = "kubernetes:apps/v1:StatefulSet";
    const claims = { spec: { volumeClaimTemplates: [{ metadata: { name: "data" } }] } };
    expect(check(type, false, claims)).toEqual(unprotected);
    expect(check(type, true, claims)).toEqual([]);
    expect(check(type, false, { spec: {} })).toEqual([]);
  });

  test("what holds no data, and what a provider would throw away", () => {
    expect(check("kubernetes:apps/v1:Deployment", false)).toEqual([]);
    const bucket = "gcp:storage/bucket:Bucket";
    expect(check(bucket, true, { forceDestroy: true })).toEqual(["It sets forceDestroy to true."]);
    expect(check(bucket, true, { forceDestroy: UNKNOWN })).toEqual([]);
    expect(
      check("gcp:sql/databaseInstance:DatabaseInstance", true, { deletionProtection: false }),
    ).toEqual(["It sets deletionProtection to false."]);
  });
});

const object = (type: string, name: Value, rest: Fields = {}) =>
  resource(
    type,
    { metadata: { name, namespace: "ns" }, ...rest },
    { urn: `urn:pulumi:test::p::${type}::x` },
  );

const messages = (
  rule: StackRule,
  resources: ReturnType<typeof object>[],
  settings = {},
): string[] => rule.checkStack(resources, settings).map(({ message }) => message);

describe("secrets-stay-in-secrets", () => {
  const secret = (data: Fields) => object("kubernetes:core/v1:Secret", "s", data);
  const map = (text: Value) => object("kubernetes:core/v1:ConfigMap", "c", { data: { text } });
  const encoded = Buffer.from("a-long-secret-value").toString("base64");

  test.each<[string, Fields, Value, readonly string[]]>([
    [
      "in another object",
      { stringData: { KEY: "a-long-secret-value" } },
      "x a-long-secret-value y",
      ["It holds the value of KEY."],
    ],
    [
      "given as data",
      { data: { KEY: encoded } },
      "a-long-secret-value",
      ["It holds the value of KEY."],
    ],
    ["nowhere else", { stringData: { KEY: "a-long-secret-value" } }, "other", none],
    ["too short to tell", { stringData: { KEY: "short" } }, "short", none],
    [
      "an address",
      { stringData: { ARTIFACTORY_URL: "https://repository.test" } },
      "https://repository.test/pypi",
      none,
    ],
    ["not known yet", { stringData: { KEY: UNKNOWN } }, UNKNOWN, none],
  ])("%s", (_, data, text, faults) => {
    expect(messages(secretsStayInSecrets, [secret(data), map(text)])).toEqual(faults);
  });

  test("the builder may have the registry's password, an image may not", () => {
    const key = secret({ stringData: { KEY: "a-long-secret-value" } });
    const image = (props: Fields) => object("docker:index/image:Image", "i", props);
    const registry = { registry: { password: "a-long-secret-value" } };
    expect(messages(secretsStayInSecrets, [key, image(registry)])).toEqual([]);
    const build = { build: { args: { TOKEN: "a-long-secret-value" } } };
    expect(messages(secretsStayInSecrets, [key, image(build)])).toEqual([
      "It holds the value of KEY.",
    ]);
  });
});

describe("public-service-needs-key", () => {
  const labels = { app: "one" };
  const service = (spec: Fields) =>
    object("kubernetes:core/v1:Service", "web", { spec: { selector: labels, ...spec } });
  const pods = (env: readonly Value[]) =>
    object("kubernetes:apps/v1:Deployment", "web", {
      spec: { template: { metadata: { labels }, spec: { containers: [{ name: "main", env }] } } },
    });
  const keyed = pods([{ name: "VLLM_API_KEY", valueFrom: { secretKeyRef: { name: "s" } } }]);
  const open = pods([]);
  const mounted = (volume: Fields) =>
    object("kubernetes:apps/v1:Deployment", "web", {
      spec: { template: { metadata: { labels }, spec: { containers: [], volumes: [volume] } } },
    });
  const ingress = object("kubernetes:networking.k8s.io/v1:Ingress", "in", {
    spec: { rules: [{ http: { paths: [{ backend: { service: { name: "web" } } }] } }] },
  });
  const fault = ["It is public, and its pods ask for no key."];

  test.each<[string, ReturnType<typeof object>[], readonly string[]]>([
    ["in the cluster only", [service({}), open], none],
    ["a LoadBalancer with a key", [service({ type: "LoadBalancer" }), keyed], none],
    ["a LoadBalancer without one", [service({ type: "LoadBalancer" }), open], fault],
    [
      "a key in a mounted Secret",
      [
        service({ type: "LoadBalancer" }),
        mounted({ name: "api-key", secret: { secretName: "s" } }),
      ],
      none,
    ],
    [
      "a mounted Secret that is no key",
      [service({ type: "LoadBalancer" }), mounted({ name: "tls", secret: { secretName: "s" } })],
      fault,
    ],
    ["a NodePort without one", [service({ type: "NodePort" }), open], fault],
    ["external addresses", [service({ externalIPs: ["192.0.2.1"] }), open], fault],
    ["behind an Ingress", [service({}), open, ingress], fault],
    ["behind an Ingress with a key", [service({}), keyed, ingress], none],
    ["in front of pods that nobody knows", [service({ type: "NodePort" })], fault],
    ["a selector not known yet", [service({ type: "NodePort", selector: UNKNOWN })], none],
    ["a type not known yet", [service({ type: UNKNOWN }), open], none],
  ])("%s", (_, resources, faults) => {
    expect(messages(publicNeedsKey, resources)).toEqual(faults);
  });

  test("one that is exempt in its stack, and in no other", () => {
    const resources = [service({ type: "NodePort" }), open];
    expect(messages(publicNeedsKey, resources, { exempt: ["test/web"] })).toEqual([]);
    expect(messages(publicNeedsKey, resources, { exempt: ["prod/web"] })).toEqual(fault);
  });
});

describe("default-deny", () => {
  const namespace = (name: Value) => object("kubernetes:core/v1:Namespace", name);
  const policy = (spec: Fields) =>
    object("kubernetes:networking.k8s.io/v1:NetworkPolicy", "d", { spec });
  const both = ["Ingress", "Egress"];
  const fault = ["No NetworkPolicy denies its traffic by default."];

  test.each<[string, ReturnType<typeof object>[], readonly string[]]>([
    ["denied", [namespace("ns"), policy({ podSelector: {}, policyTypes: both })], none],
    ["no policy", [namespace("ns")], fault],
    [
      "of another namespace",
      [namespace("other"), policy({ podSelector: {}, policyTypes: both })],
      fault,
    ],
    [
      "one direction",
      [namespace("ns"), policy({ podSelector: {}, policyTypes: ["Ingress"] })],
      fault,
    ],
    [
      "some pods",
      [namespace("ns"), policy({ podSelector: { matchLabels: { a: "b" } }, policyTypes: both })],
      fault,
    ],
    [
      "a rule",
      [namespace("ns"), policy({ podSelector: {}, policyTypes: both, egress: [{}] })],
      fault,
    ],
    ["a name not known yet", [namespace(UNKNOWN)], none],
  ])("%s", (_, resources, faults) => {
    expect(messages(defaultDeny, resources)).toEqual(faults);
  });
});

describe("autoscaler-owns-replicas", () => {
  const scaler = (name: Value) =>
    object("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", "h", {
      spec: { scaleTargetRef: { kind: "Deployment", name } },
    });
  const keda = object("kubernetes:keda.sh/v1alpha1:ScaledObject", "s", {
    spec: { scaleTargetRef: { kind: "Deployment", name: "web" } },
  });
  const workload = (replicas: Value) =>
    object("kubernetes:apps/v1:Deployment", "web", { spec: { replicas } });
  const fault = ["It sets replicas, which its autoscaler owns."];

  test.each<[string, ReturnType<typeof object>[], readonly string[]]>([
    ["none set", [scaler("web"), workload(undefined)], none],
    ["set", [scaler("web"), workload(2)], fault],
    ["set, not known yet", [scaler("web"), workload(UNKNOWN)], fault],
    ["of another workload", [scaler("other"), workload(2)], none],
    ["a target not known yet", [scaler(UNKNOWN), workload(2)], none],
    ["no autoscaler", [workload(2)], none],
    ["set, under KEDA", [keda, workload(2)], fault],
  ])("%s", (_, resources, faults) => {
    expect(messages(autoscalerOwnsReplicas, resources)).toEqual(faults);
  });
});

describe("the pack", () => {
  const UnknownValueError = class extends Error {
    readonly unknownTypeSentinel = "x";
  };

  test("reads what is known of properties that are not known in part", () => {
    const props = {
      known: [1, { deep: "text" }],
      get later(): string {
        throw new UnknownValueError();
      },
    };
    expect(plain(props)).toEqual({ known: [1, { deep: "text" }], later: UNKNOWN });
    const broken = {
      get field(): string {
        throw new Error("another fault");
      },
    };
    expect(() => plain(broken)).toThrow("another fault");
  });

  test("reports with the remedy, and gives stack rules the inputs that resource rules saw", async () => {
    const first: ResourceRule = {
      name: "first",
      description: "It holds.",
      remedy: "Mend it.",
      settings: { words: "words" },
      check: ({ protect }, { words = [] }) => [`protect ${String(protect)}, ${words.join()}`],
    };
    const second: StackRule = {
      name: "second",
      description: "All hold.",
      remedy: "Mend them.",
      checkStack: (all) => all.map(({ urn, props }) => ({ urn, message: JSON.stringify(props) })),
    };
    const [one, two] = policies([first], [second]);
    expect(one).toMatchObject({
      name: "first",
      enforcementLevel: "mandatory",
      remediationSteps: "Mend it.",
      configSchema: { properties: { words: { type: "array", items: { type: "string" } } } },
    });
    const reported: unknown[] = [];
    const report = (...said: unknown[]): void => void reported.push(said);
    const getConfig = () => ({ words: ["a", "b"] });
    if (one === undefined || !("validateResource" in one)) throw new Error("no resource policy");
    if (two === undefined || !("validateStack" in two)) throw new Error("no stack policy");
    const args = {
      urn: "u",
      type: "t",
      name: "n",
      props: { a: 1 },
      opts: { protect: true },
      getConfig,
    };
    await (one.validateResource as (a: unknown, r: unknown) => unknown)(args, report);
    await (two.validateStack as (a: unknown, r: unknown) => unknown)({ getConfig }, report);
    expect(reported).toEqual([
      ["protect true, a,b\nWhat to do: Mend it."],
      ['{"a":1}\nWhat to do: Mend them.', "u"],
    ]);
  });
});
