import type { SecretKey } from "../../config/secrets";
import { secretFaults } from "../../config/secrets";
import { settingsOf, trainingTree, validTree } from "../support/settings";

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
  expect(secretFaults(settings, given([]))).toEqual([
    {
      key: "WANDB_API_KEY",
      got: "nothing",
      allowed: "a secret, since training.tracking.wandb is true",
      fix: "pulumi config set --secret WANDB_API_KEY",
    },
  ]);
  expect(secretFaults(settings, given(["WANDB_API_KEY"]))).toEqual([]);
});

test("the three of Artifactory belong together", () => {
  const faults = secretFaults(settingsOf(validTree()), given(["ARTIFACTORY_URL"]));
  expect(faults.map(({ key }) => key)).toEqual(["ARTIFACTORY_USERNAME", "ARTIFACTORY_PASSWORD"]);
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
