import type { SecretKey } from "../../config/secrets";
import { secretFaults } from "../../config/secrets";
import {
  IDENTITY,
  REMOTE_SOURCES,
  settingsOf,
  sourceTree,
  trainingTree,
  validTree,
} from "../support/settings";

const given =
  (set: readonly SecretKey[], plain: readonly SecretKey[] = []) =>
  (key: SecretKey) => ({
    isSet: set.includes(key) || plain.includes(key),
    isSecret: set.includes(key),
  });

test("a stack that needs none asks for none", () => {
  expect(secretFaults(settingsOf(validTree()), given([]))).toEqual([]);
});

test("W&B needs its key", () => {
  const tree = trainingTree();
  const training = { ...(tree["training"] as object), tracking: { wandb: true } };
  const settings = settingsOf({ ...tree, training });
  const offline = { ...training, tracking: { wandb: true, wandbMode: "offline" } };
  expect(secretFaults(settings, given([]))).toEqual([
    {
      key: "WANDB_API_KEY",
      got: "nothing",
      allowed: "a secret, since training.tracking.wandb is true",
      fix: "pulumi config set --secret WANDB_API_KEY",
    },
  ]);
  expect(secretFaults(settings, given(["WANDB_API_KEY"]))).toEqual([]);
  expect(secretFaults(settingsOf({ ...tree, training: offline }), given([]))).toEqual([]);
});

describe("Artifactory", () => {
  const missing = (...set: SecretKey[]) =>
    secretFaults(settingsOf(validTree()), given(set)).map(({ key, allowed }) => [key, allowed]);

  test("the address alone is anonymous access, with a password it is a token, with both a login", () => {
    expect(missing("ARTIFACTORY_URL")).toEqual([]);
    expect(missing("ARTIFACTORY_URL", "ARTIFACTORY_PASSWORD")).toEqual([]);
    expect(missing("ARTIFACTORY_URL", "ARTIFACTORY_USERNAME", "ARTIFACTORY_PASSWORD")).toEqual([]);
  });

  test("a user name without a password", () => {
    expect(missing("ARTIFACTORY_URL", "ARTIFACTORY_USERNAME")).toEqual([
      ["ARTIFACTORY_PASSWORD", "a secret, since ARTIFACTORY_USERNAME is set, and goes with it"],
    ]);
  });

  test("a password that is sent nowhere", () => {
    expect(missing("ARTIFACTORY_PASSWORD")).toEqual([
      ["ARTIFACTORY_URL", "a secret, since ARTIFACTORY_PASSWORD is set, and sent there"],
    ]);
  });
});

describe("a source needs only its own secrets", () => {
  const missing = (tree: Record<string, unknown>, ...set: SecretKey[]) =>
    secretFaults(settingsOf(tree), given(set));
  const baseModel = (source: object, change: object = {}) => {
    const tree = trainingTree();
    return { ...tree, training: { ...(tree["training"] as object), ...change, baseModel: source } };
  };

  test("the hub asks for a token only where the model is gated", () => {
    const { huggingface } = REMOTE_SOURCES;
    expect(missing(sourceTree(huggingface))).toEqual([]);
    const gated = sourceTree({ ...huggingface, gated: true });
    expect(missing(gated)).toEqual([
      {
        key: "HF_TOKEN",
        got: "nothing",
        allowed: "a secret, since models[0].source.gated is true",
        fix: "pulumi config set --secret HF_TOKEN",
      },
    ]);
    expect(missing(gated, "HF_TOKEN")).toEqual([]);
  });

  test("Artifactory needs its address", () => {
    expect(missing(baseModel(REMOTE_SOURCES.artifactory))).toEqual([
      {
        key: "ARTIFACTORY_URL",
        got: "nothing",
        allowed: "a secret, since training.baseModel is a path below it",
        fix: "pulumi config set --secret ARTIFACTORY_URL",
      },
    ]);
  });

  test("a bucket needs a key unless the pods have an identity or nobody is asked", () => {
    const { download, mount } = REMOTE_SOURCES;
    expect(missing(sourceTree(download))).toEqual([
      {
        key: "GCS_KEY",
        got: "nothing",
        allowed:
          "a secret, since models[0].source has neither gcp.workloadIdentity.inference nor anonymous",
        fix: "pulumi config set --secret GCS_KEY < key.json",
      },
    ]);
    expect(missing(sourceTree(download), "GCS_KEY")).toEqual([]);
    expect(missing(sourceTree(download, IDENTITY))).toEqual([]);
    expect(missing(sourceTree({ ...download, anonymous: true }))).toEqual([]);
    expect(missing(sourceTree(mount, IDENTITY))).toEqual([]);
  });

  test("the identity of one role is none for the other", () => {
    const gcp = { workloadIdentity: { inference: "serve@acme.iam.gserviceaccount.com" } };
    const tree = { ...baseModel(REMOTE_SOURCES.download), gcp };
    expect(missing(tree).map(({ key }) => key)).toEqual(["GCS_KEY"]);
  });

  test.each<[object, SecretKey[]]>([
    [{ kind: "artifactory", target: "models/tuned" }, ["ARTIFACTORY_URL"]],
    [{ kind: "gcs", target: "gs://acme-models/tuned" }, ["GCS_KEY"]],
    [{ kind: "gcs", target: "gs://acme-models/tuned", anonymous: true }, []],
  ])("publishing %j needs %j", (publish, keys) => {
    const volume = { kind: "volume", path: "base/model" };
    expect(missing(baseModel(volume, { publish })).map(({ key }) => key)).toEqual(keys);
  });
});

test("a secret in plain text is refused and not shown", () => {
  expect(secretFaults(settingsOf(validTree()), given([], ["HF_TOKEN"]))).toEqual([
    {
      key: "HF_TOKEN",
      got: "a value in plain text (not shown)",
      allowed: "an encrypted value",
      fix: "pulumi config set --secret HF_TOKEN",
    },
  ]);
});
