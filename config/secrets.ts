import type { Fault } from "./faults";
import type { Settings } from "./schema";

/** Secrets of a stack: top-level keys, set with `pulumi config set --secret`. */
export const SECRET_KEYS = [
  "HF_TOKEN",
  "ARTIFACTORY_URL",
  "ARTIFACTORY_USERNAME",
  "ARTIFACTORY_PASSWORD",
  "WANDB_API_KEY",
  "VLLM_API_KEY",
] as const;

export type SecretKey = (typeof SECRET_KEYS)[number];

const ARTIFACTORY = ["ARTIFACTORY_URL", "ARTIFACTORY_USERNAME", "ARTIFACTORY_PASSWORD"] as const;

/** What is known of a secret without reading it. */
export interface SecretState {
  readonly isSet: boolean;
  /** Whether it is encrypted in the stack file. */
  readonly isSecret: boolean;
}

const command = (key: SecretKey): string => `pulumi config set --secret ${key}`;

function needed(
  settings: Settings,
  state: (key: SecretKey) => SecretState,
): Map<SecretKey, string> {
  const need = new Map<SecretKey, string>();
  if (settings.training?.tracking.wandb === true) {
    need.set("WANDB_API_KEY", "training.tracking.wandb is true");
  }
  const given = ARTIFACTORY.find((key) => state(key).isSet);
  if (given !== undefined) {
    for (const key of ARTIFACTORY) need.set(key, `${given} is set, and the three belong together`);
  }
  return need;
}

/** Faults for secrets that are missing or stand in the stack file in plain text. */
export function secretFaults(settings: Settings, state: (key: SecretKey) => SecretState): Fault[] {
  const need = needed(settings, state);
  return SECRET_KEYS.flatMap((key): Fault[] => {
    const { isSet, isSecret } = state(key);
    const why = need.get(key);
    if (!isSet && why !== undefined) {
      return [{ key, got: "nothing", allowed: `a secret, since ${why}`, fix: command(key) }];
    }
    if (isSet && !isSecret) {
      return [
        {
          key,
          got: "a value in plain text (not shown)",
          allowed: "an encrypted value",
          fix: command(key),
        },
      ];
    }
    return [];
  });
}
