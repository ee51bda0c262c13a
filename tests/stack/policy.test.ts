import type { Resource } from "../../policy/rule";
import { resourceRules, stackRules } from "../../policy/rules";
import type { Fields, Value } from "../../policy/values";
import type { Violation } from "../support/policy";
import { policyResources, violations } from "../support/policy";
import { stackFile } from "../support/program";
import { runStack } from "../support/stack";

const STACKS = ["airgapped", "dev", "local", "prod"] as const;

const resourcesOf = async (stack: string): Promise<Resource[]> =>
  policyResources(stack, await runStack(stackFile(stack)));

test.each(STACKS)("the stack %s breaks no policy", async (stack) => {
  const resources = await resourcesOf(stack);
  expect(resources.length).toBeGreaterThan(20);
  expect(violations(resources)).toEqual([]);
});

test("the pods of a run that is handed to Kubeflow Trainer are judged too", async () => {
  const { settings, ...local } = stackFile("local");
  const training = { ...(settings["training"] as object), runner: "trainjob", await: false };
  const [model] = settings["models"] as object[];
  const models = [{ ...model, surge: true }];
  const run = await runStack({ ...local, settings: { ...settings, training, models } });
  const resources = policyResources("local", run);
  expect(violations(resources)).toEqual([]);
  const path = "spec template spec replicatedJobs 0 template spec template spec".split(" ");
  const planted = resources.map((each): Resource =>
    each.type.endsWith(":TrainingRuntime")
      ? { ...each, props: put(each.props, [...path, "hostNetwork"], true) }
      : each,
  );
  expect(violations(planted)).toMatchObject([
    { policy: "pod-restricted", resource: "llama-factory-train" },
  ]);
});

/** Puts a value at a path of keys and positions. */
function put(value: Value, path: readonly string[], planted: Value): Value {
  const [key, ...rest] = path;
  if (key === undefined) return planted;
  if (Array.isArray(value)) {
    const list: readonly Value[] = value;
    return list.map((item, index) => (String(index) === key ? put(item, rest, planted) : item));
  }
  const fields = (value ?? {}) as Fields;
  return { ...fields, [key]: put(fields[key], rest, planted) };
}

const POD = ["spec", "template", "spec"];
const CONTAINER = [...POD, "containers", "0"];
const SERVER = "Deployment::llama-factory-inference-lumen7";

/** A fault that somebody might make in `prod`: where, and what the pack says to it. */
const PLANTED: readonly {
  readonly what: string;
  readonly at: string;
  readonly path?: readonly string[];
  readonly value?: Value;
  readonly protect?: boolean;
  readonly found: readonly [policy: string, message: string | RegExp, remedy: RegExp];
}[] = [
  {
    what: "an image by tag",
    at: SERVER,
    path: [...CONTAINER, "image"],
    value: "europe-west4-docker.pkg.dev/example/llmops/llama-factory-inference:0.1.0",
    found: [
      "image-by-digest",
      /^Container inference runs .*:0\.1\.0, which is no digest\.$/,
      /repoDigest/,
    ],
  },
  {
    what: "an image of a registry that nobody allowed",
    at: "Deployment::mlflow",
    path: [...CONTAINER, "image"],
    value: `docker.io/somebody/mlflow@sha256:${"0".repeat(64)}`,
    found: [
      "image-registry",
      /^Container mlflow runs docker\.io\/.* of none of: /,
      /image-registry\.allowed/,
    ],
  },
  {
    what: "a token as a variable in plain text",
    at: "Job::llama-factory-train",
    path: [...CONTAINER, "env"],
    value: [{ name: "HF_TOKEN", value: "given-by-hand" }],
    found: [
      "no-plain-secret",
      /^Container .* has the variable HF_TOKEN in plain text\.$/,
      /secretKeyRef/,
    ],
  },
  {
    what: "the API key on the command line",
    at: SERVER,
    path: [...CONTAINER, "args"],
    value: ["serve", "/models/x", "--api-key", "given-by-hand"],
    found: [
      "no-plain-secret",
      "Container inference has the value of --api-key on its command line.",
      /secretKeyRef/,
    ],
  },
  {
    what: "the value of a Secret in a label",
    at: SERVER,
    path: ["metadata", "labels", "key"],
    value: "generated-credentials-api-key",
    found: ["secrets-stay-in-secrets", "It holds the value of VLLM_API_KEY.", /by name/],
  },
  {
    what: "no limit of memory",
    at: "Deployment::mlflow",
    path: [...CONTAINER, "resources", "limits"],
    value: {},
    found: [
      "resources-set",
      "Container mlflow has no resources.limits.memory.",
      /resources\.limits\.memory/,
    ],
  },
  {
    what: "a GPU requested without a limit",
    at: SERVER,
    path: [...CONTAINER, "resources", "limits"],
    value: { memory: "32Gi" },
    found: [
      "gpu-request-is-limit",
      "Container inference requests 1 of nvidia.com/gpu, limit none.",
      /same whole number/,
    ],
  },
  {
    what: "a folder of the node in a pod",
    at: "Job::llama-factory-train",
    path: [...POD, "volumes"],
    value: [{ name: "data", hostPath: { path: "/" } }],
    found: ["pod-restricted", "The pod has a volume of kind hostPath.", /PersistentVolumeClaim/],
  },
  {
    what: "the database on an address of its own",
    at: "Service::mlflow-postgres-service",
    path: ["spec", "type"],
    value: "LoadBalancer",
    found: ["public-service-needs-key", "It is public, and its pods ask for no key.", /ClusterIP/],
  },
  {
    what: "a claim that a destroy deletes",
    at: "PersistentVolumeClaim::model-output-pvc",
    protect: false,
    found: ["stateful-protected", "It holds data, and is not protected.", /protect: false/],
  },
  {
    what: "replicas under an autoscaler",
    at: SERVER,
    path: ["spec", "replicas"],
    value: 2,
    found: [
      "autoscaler-owns-replicas",
      "It sets replicas, which its autoscaler owns.",
      /minReplicas/,
    ],
  },
  {
    what: "a default policy that lets everything out",
    at: "NetworkPolicy::llmops-default-deny",
    path: ["spec", "policyTypes"],
    value: ["Ingress"],
    found: ["default-deny", "No NetworkPolicy denies its traffic by default.", /policyTypes/],
  },
  {
    what: "a namespace that lets every pod in",
    at: "Namespace::llmops",
    path: ["metadata", "labels"],
    value: {},
    found: ["namespace-restricted", /is not restricted/, /enforce to restricted/],
  },
  {
    what: "a token of the API server in a pod",
    at: SERVER,
    path: [...POD, "automountServiceAccountToken"],
    value: true,
    found: ["no-service-account-token", /does not set automountServiceAccountToken/, /to false/],
  },
];

describe("a fault planted in prod is found by its policy alone, which says what to do:", () => {
  let prod: readonly Resource[];
  beforeAll(async () => {
    prod = await resourcesOf("prod");
  });

  test.each(PLANTED.map((planted) => [planted.what, planted] as const))("%s", (_, planted) => {
    const { at, path, value, protect, found } = planted;
    const place = prod.find(({ urn }) => urn.endsWith(`:${at}`));
    expect(place).toBeDefined();
    const faulty = prod.map((each): Resource => {
      if (each !== place) return each;
      const props = path === undefined ? each.props : put(each.props, path, value);
      return { ...each, props, ...(protect === undefined ? {} : { protect }) };
    });
    const [policy, message, remedy] = found;
    const [first, ...others] = violations(faulty);
    expect(others.filter((other: Violation) => other.policy !== policy)).toEqual([]);
    expect(first).toMatchObject({
      policy,
      message: typeof message === "string" ? message : expect.stringMatching(message),
      remedy: expect.stringMatching(remedy),
    });
  });

  test("every policy has a fault here", () => {
    const named = new Set(PLANTED.map(({ found: [policy] }) => policy));
    const all = [...resourceRules, ...stackRules].map(({ name }) => name);
    expect([...named].sort()).toEqual([...all].sort());
  });
});
