import { policyResources, violations } from "../support/policy";
import type { ProgramRun } from "../support/program";
import { kubernetesObjects, stackFile } from "../support/program";
import { runStack } from "../support/stack";

const VERSIONS = {
  MLFLOW_DB_PASSWORD: { secret: "mlflow-db", version: 2 },
  MLFLOW_AUTH_ADMIN_PASSWORD: { secret: "mlflow-admin", version: 7 },
};

/** Production with MLflow's passwords in Secret Manager. */
function managed(secretManager: object): Promise<ProgramRun> {
  const { stack, settings } = stackFile("prod");
  const { workloadIdentity, ...gcp } = settings["gcp"] as { workloadIdentity: object };
  const secrets = "llmops-secrets@example.iam.gserviceaccount.com";
  const identities = { ...workloadIdentity, secrets };
  return runStack({
    stack,
    settings: { ...settings, gcp: { ...gcp, workloadIdentity: identities, secretManager } },
  });
}

interface ApiObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

const names = (run: ProgramRun, ...kinds: string[]): string[] =>
  (kubernetesObjects(run) as unknown as ApiObject[])
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ kind, metadata }) => `${kind} ${metadata.name.replace(/-[0-9a-f]{8}$/, "")}`)
    .sort();

test("production's passwords are neither made nor known by the program, and pods read Secrets as before", async () => {
  const run = await managed(VERSIONS);
  const generated = run.resources
    .filter(({ type }) => type.endsWith(":RandomPassword"))
    .map(({ name }) => name);
  expect(generated).toEqual(["credentials-api-key", "credentials-mlflow-flask-server-secret-key"]);
  expect(names(run, "ExternalSecret", "SecretStore", "Secret")).toEqual([
    "ExternalSecret mlflow-auth-secret",
    "ExternalSecret mlflow-database-secret",
    "Secret mlflow-auth-secret",
    "Secret vllm-api-key",
    "SecretStore secret-manager",
  ]);
  const made = run.resources.filter(({ type }) => type.endsWith(":ExternalSecret"));
  for (const { opts } of made) expect(opts.replaceOnChanges).toEqual(["spec"]);
  const grants = run.resources.filter(({ type }) => type.endsWith(":SecretIamMember"));
  expect(grants.map(({ inputs }) => inputs)).toEqual(
    ["mlflow-admin", "mlflow-db"].map((secretId) => ({
      secretId,
      project: "example",
      role: "roles/secretmanager.secretAccessor",
      member: "serviceAccount:llmops-secrets@example.iam.gserviceaccount.com",
    })),
  );
  expect(violations(policyResources("prod", run))).toEqual([]);
}, 60_000);

test("no pod runs as the account that reads Secret Manager", async () => {
  const run = await managed(VERSIONS);
  expect(names(run, "ServiceAccount")).toContain("ServiceAccount llmops-secrets");
  const others = (kubernetesObjects(run) as unknown as ApiObject[]).filter(
    ({ kind }) => kind !== "ServiceAccount" && kind !== "SecretStore",
  );
  expect(JSON.stringify(others)).not.toContain("llmops-secrets");
}, 60_000);

test("without it nothing of it is there", async () => {
  const run = await runStack(stackFile("prod"));
  expect(names(run, "ExternalSecret", "SecretStore")).toEqual([]);
  expect(names(run, "ServiceAccount")).not.toContain("ServiceAccount llmops-secrets");
}, 60_000);
