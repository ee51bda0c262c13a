import { createHash } from "node:crypto";
import type { ProgramRun } from "../support/program";
import { isSecretEnvelope, kubernetesObjects, stackFile } from "../support/program";
import { runStack } from "../support/stack";

const SECRETS = {
  HF_TOKEN: "one-hub-token",
  ARTIFACTORY_URL: "https://one.test/artifactory",
  ARTIFACTORY_USERNAME: "one-user",
  ARTIFACTORY_PASSWORD: "one-password",
  GCS_KEY: "one-key",
  WANDB_API_KEY: "one-wandb-key",
  VLLM_API_KEY: "one-api-key",
  MLFLOW_DB_PASSWORD: "one-database-password",
  MLFLOW_AUTH_ADMIN_PASSWORD: "one-login-password",
  BOARD_PASSWORD: "one-board-password",
  OTLP_HEADERS: "authorization=one-login",
};

interface ApiObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly stringData?: unknown;
  readonly spec?: { readonly template?: object };
}

/**
 * The pod templates by workload, as they are once every Secret has a name that changes with its value: the provider
 * replaces a Secret whose data changes, and gives the new one another name (rule: local/standins/kubernetes/kinds.ts).
 */
function templates(run: ProgramRun): Record<string, string> {
  const objects = kubernetesObjects(run) as unknown as readonly ApiObject[];
  const renamed = objects
    .filter(({ kind }) => kind === "Secret")
    .map(({ metadata: { name }, stringData }) => {
      expect(isSecretEnvelope(stringData)).toBe(true);
      const digest = createHash("sha256").update(JSON.stringify(stringData)).digest("hex");
      return [name, `${name}-${digest}`] as const;
    });
  return Object.fromEntries(
    objects.flatMap(({ kind, metadata, spec }) => {
      if (spec?.template === undefined) return [];
      const text = renamed.reduce(
        (template, [name, now]) => template.replaceAll(`"${name}"`, `"${now}"`),
        JSON.stringify(spec.template),
      );
      return [[`${kind} ${metadata.name.replace(/-[0-9a-f]{10}$/, "")}`, text]];
    }),
  );
}

/** The templates of a committed stack, with W&B and LLaMA Board, which no stack has. */
async function templatesOf(stack: string, change = {}): Promise<Record<string, string>> {
  const { settings, ...file } = stackFile(stack);
  const training = { ...(settings["training"] as object), tracking: { wandb: true } };
  const more = { ...settings, training, board: { enabled: true } };
  return templates(await runStack({ ...file, settings: more, secrets: { ...SECRETS, ...change } }));
}

const [board, mlflow, postgres, train, lumen7, smollm2, qwen3] = [
  "Deployment llama-board",
  "Deployment mlflow",
  "StatefulSet mlflow-postgres",
  "Job llama-factory-train",
  "Deployment llama-factory-inference-lumen7",
  "Deployment llama-factory-inference-smollm2",
  "Deployment llama-factory-inference-qwen3",
];

const none: readonly string[] = [];
const everywhere = { WANDB_API_KEY: [train], BOARD_PASSWORD: [board] };

describe.each([
  ["dev", { HF_TOKEN: [train], VLLM_API_KEY: [lumen7], ...everywhere }],
  [
    "prod",
    {
      VLLM_API_KEY: [lumen7, smollm2],
      MLFLOW_DB_PASSWORD: [mlflow, postgres],
      MLFLOW_AUTH_ADMIN_PASSWORD: [mlflow, train],
      ...everywhere,
    },
  ],
  [
    "airgapped",
    {
      ARTIFACTORY_URL: [smollm2, train],
      ARTIFACTORY_USERNAME: [smollm2, train],
      ARTIFACTORY_PASSWORD: [smollm2, train],
      GCS_KEY: [qwen3],
      VLLM_API_KEY: [lumen7, qwen3, smollm2],
      OTLP_HEADERS: [lumen7, qwen3, smollm2],
      ...everywhere,
    },
  ],
])("in %s", (stack, readers: Readonly<Partial<Record<string, readonly string[]>>>) => {
  let before: Record<string, string>;
  beforeAll(async () => {
    before = await templatesOf(stack);
  });

  test.each(Object.keys(SECRETS))("another %s rolls exactly the pods that read it", async (key) => {
    const after = await templatesOf(stack, { [key]: `another-${key}` });
    expect(Object.keys(after)).toEqual(Object.keys(before));
    const rolled = Object.keys(after).filter((name) => after[name] !== before[name]);
    expect(rolled.sort()).toEqual([...(readers[key] ?? none)].sort());
  });
});
