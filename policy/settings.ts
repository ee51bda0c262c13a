import type { RuleSettings } from "./rule";

/** What the rules leave to choose, by rule. `--policy-pack-config` takes a file of the same form in its place. */
export const settings: Readonly<Record<string, RuleSettings>> = {
  "image-registry": {
    allowed: [
      "europe-west4-docker.pkg.dev/example/llmops",
      "europe-west4-docker.pkg.dev/example-dev/llmops",
      "registry.site.example/ml",
      "registry.llmops.local:5000",
    ],
  },
  "public-service-needs-key": {
    // MLflow has no key; on one machine nobody but this machine reaches it.
    exempt: ["local/mlflow"],
  },
  "stateful-protected": {
    stacks: ["prod", "airgapped"],
  },
};
