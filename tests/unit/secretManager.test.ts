import { settingsSchema } from "../../config/schema";
import { secretManagerFaults } from "../../config/secretManagerRules";
import type { SecretKey } from "../../config/secrets";
import { generatedSecrets, secretFaults } from "../../config/secrets";
import { accountAccess } from "../../workloads/gcpAccess";
import { authPieces, trackingLogin } from "../../workloads/mlflowAuth";
import { externalSecretSpec, managedSource, secretStoreSpec } from "../../workloads/secretManager";
import { REMOTE_SOURCES, gcpTree, settingsOf, sourceTree, validTree } from "../support/settings";

const READER = "llmops-secrets@acme-ml.iam.gserviceaccount.com";
const one = (secret: string, version = 1) => ({ secret, version });
const managing = (secretManager: object, gcp: object = {}, change: object = {}) =>
  settingsOf(gcpTree({ secretManager, workloadIdentity: { secrets: READER }, ...gcp }, change));

const given =
  (...set: SecretKey[]) =>
  (key: SecretKey) => ({ isSet: set.includes(key), isSecret: true });

describe("a secret from Secret Manager", () => {
  const source = { ...REMOTE_SOURCES.huggingface, gated: true };
  const { models } = sourceTree(source);

  test("is one that is there", () => {
    const settings = managing({ HF_TOKEN: one("hub") }, {}, { models });
    expect(secretFaults(settings, given())).toEqual([]);
    const other = managing({ GCS_KEY: one("key") }, {}, { models });
    expect(secretFaults(other, given()).map(({ key }) => key)).toEqual(["HF_TOKEN"]);
  });

  test("counts where another one goes with it", () => {
    const settings = managing({ ARTIFACTORY_PASSWORD: one("token") });
    expect(secretFaults(settings, given()).map(({ key }) => key)).toEqual(["ARTIFACTORY_URL"]);
  });

  test("is not set in the stack file too, and its value there is not shown", () => {
    expect(secretFaults(managing({ HF_TOKEN: one("hub") }), given("HF_TOKEN"))).toEqual([
      {
        key: "HF_TOKEN",
        got: "a value in the stack file (not shown), and gcp.secretManager.HF_TOKEN",
        allowed: "one of the two: pods get the version that is named there",
        fix: "pulumi config rm --path 'llmops:HF_TOKEN'",
      },
    ]);
  });

  test("is not generated", () => {
    const change = {
      mlflow: { backend: { kind: "postgres" }, auth: { enabled: true } },
      board: { enabled: true },
    };
    const all = {
      MLFLOW_DB_PASSWORD: one("db"),
      MLFLOW_AUTH_ADMIN_PASSWORD: one("admin"),
      BOARD_PASSWORD: one("board"),
    };
    expect(generatedSecrets(managing(all, {}, change))).toEqual(["MLFLOW_FLASK_SERVER_SECRET_KEY"]);
  });
});

describe("settings", () => {
  const faults = (settings: ReturnType<typeof settingsOf>) => secretManagerFaults(settings);

  test("complete", () => {
    expect(faults(managing({ HF_TOKEN: one("hub") }))).toEqual([]);
    expect(faults(settingsOf(validTree()))).toEqual([]);
    expect(faults(managing({}, { project: undefined }))).toEqual([]);
  });

  test("nobody reads it, nowhere", () => {
    const gcp = { secretManager: { HF_TOKEN: one("hub") } };
    expect(faults(settingsOf({ ...validTree(), gcp }))).toEqual([
      {
        key: "gcp.project",
        got: "nothing",
        allowed:
          "the project of the secrets, since gcp.secretManager.HF_TOKEN is read from Secret Manager",
        fix: "pulumi config set --path 'llmops:gcp.project' '<project id>'",
      },
      {
        key: "gcp.workloadIdentity.secrets",
        got: "nothing",
        allowed:
          "the account that reads them, since gcp.secretManager.HF_TOKEN is read from Secret Manager",
        fix: "pulumi config set --path 'llmops:gcp.workloadIdentity.secrets' 'llmops-secrets@<project>.iam.gserviceaccount.com'",
      },
    ]);
  });

  test("a password that the program itself needs", () => {
    const network = "projects/acme-ml/global/networks/main";
    const cloudSql = { name: "mlflow", network };
    expect(faults(managing({ MLFLOW_DB_PASSWORD: one("db") }, { cloudSql }))).toEqual([
      {
        key: "gcp.secretManager.MLFLOW_DB_PASSWORD",
        got: "a version, with gcp.cloudSql",
        allowed:
          "not set: the stack makes the database's user, and needs MLFLOW_DB_PASSWORD for it",
        fix: "pulumi config rm --path 'llmops:gcp.secretManager.MLFLOW_DB_PASSWORD' && pulumi config set --secret MLFLOW_DB_PASSWORD",
      },
    ]);
  });

  test.each<[string, object]>([
    ["a version that moves", { HF_TOKEN: { secret: "hub", version: "latest" } }],
    ["no version", { HF_TOKEN: { secret: "hub" } }],
    ["version 0", { HF_TOKEN: one("hub", 0) }],
    ["a path instead of a name", { HF_TOKEN: one("projects/p/secrets/hub") }],
    ["the key that the stack hands out itself", { VLLM_API_KEY: one("key") }],
  ])("%s is refused", (_, secretManager) => {
    const tree = gcpTree({ secretManager, workloadIdentity: { secrets: READER } });
    expect(settingsSchema.safeParse(tree).success).toBe(false);
  });
});

test("keys that share a Secret still do", () => {
  const managed = {
    ARTIFACTORY_PASSWORD: one("token", 4),
    HF_TOKEN: one("hub"),
    ARTIFACTORY_URL: one("url"),
  };
  expect(managedSource(managing(managed))).toEqual({
    project: "acme-ml",
    account: READER,
    secrets: new Map([
      ["hf-secret", { HF_TOKEN: one("hub") }],
      [
        "artifactory-secret",
        { ARTIFACTORY_URL: one("url"), ARTIFACTORY_PASSWORD: one("token", 4) },
      ],
    ]),
  });
  expect(managedSource(settingsOf(validTree()))).toBeUndefined();
});

test("External Secrets copies one version once, as an account of the namespace", () => {
  expect(externalSecretSpec("secret-manager", { HF_TOKEN: one("hub", 3) })).toEqual({
    secretStoreRef: { kind: "SecretStore", name: "secret-manager" },
    refreshPolicy: "CreatedOnce",
    target: { creationPolicy: "Owner", immutable: true },
    data: [{ secretKey: "HF_TOKEN", remoteRef: { key: "hub", version: "3" } }],
  });
  expect(secretStoreSpec("acme-ml", "llmops-secrets")).toEqual({
    provider: {
      gcpsm: {
        projectID: "acme-ml",
        auth: { workloadIdentity: { serviceAccountRef: { name: "llmops-secrets" } } },
      },
    },
  });
});

test("its reader may read these secrets, and pods none", () => {
  const workloadIdentity = { secrets: READER, training: READER.replace("secrets", "training") };
  const managed = { HF_TOKEN: one("hub"), ARTIFACTORY_URL: one("url"), GCS_KEY: one("hub", 2) };
  const settings = managing(managed, { createServiceAccounts: true, workloadIdentity });
  const place = { project: "acme-ml", region: "europe-west4" };
  expect(
    accountAccess(settings, place).map(({ role, member, secrets, bucketRole, database }) => ({
      role,
      member,
      secrets,
      more: [bucketRole, database],
    })),
  ).toEqual([
    {
      role: "training",
      member: "serviceAccount:acme-ml.svc.id.goog[llmops/llmops-training]",
      secrets: [],
      more: [undefined, false],
    },
    {
      role: "secrets",
      member: "serviceAccount:acme-ml.svc.id.goog[llmops/llmops-secrets]",
      secrets: ["hub", "url"],
      more: [undefined, false],
    },
  ]);
});

test("MLflow's two secrets may be in two Secrets", () => {
  const secrets = {
    MLFLOW_AUTH_ADMIN_PASSWORD: "from-manager",
    MLFLOW_FLASK_SERVER_SECRET_KEY: "generated",
  };
  const { mlflow } = settingsOf({ ...validTree(), mlflow: { auth: { enabled: true } } });
  const refs = authPieces({ settings: mlflow, namespace: "ns", secrets }).env.map(
    ({ valueFrom }) => valueFrom,
  );
  const ref = (name: string, key: string) => ({ secretKeyRef: { name, key } });
  expect(refs.slice(1)).toEqual([
    ref("from-manager", "MLFLOW_AUTH_ADMIN_PASSWORD"),
    ref("generated", "MLFLOW_FLASK_SERVER_SECRET_KEY"),
  ]);
  expect(trackingLogin(secrets)[1]).toEqual({
    name: "MLFLOW_TRACKING_PASSWORD",
    valueFrom: ref("from-manager", "MLFLOW_AUTH_ADMIN_PASSWORD"),
  });
  // Without the signing key nobody is asked to log in.
  expect(trackingLogin({ MLFLOW_AUTH_ADMIN_PASSWORD: "from-manager" })).toEqual([]);
});
