import type { PublishSettings, TrainingSettings } from "../config/training";
import { ARTIFACTORY_KEYS } from "./fetch";
import type { KeyFile } from "./gcs";
import { NO_KEY, gcsKeyFile } from "./gcs";
import type { SecretNames } from "./pod";
import { plainEnv, secretEnvs } from "./pod";

/** Where to publish, as the training image reads it from LLMOPS_PUBLISH. It holds no secret. */
function destination(publish: PublishSettings): object {
  if (publish.kind === "artifactory") return { kind: publish.kind, path: publish.target };
  const { kind, target, endpoint, anonymous } = publish;
  return {
    kind,
    uri: target,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(anonymous ? { anonymous } : {}),
  };
}

/** What the training container needs to publish its model; nothing where it does not. */
export function publishPieces(
  publish: PublishSettings | undefined,
  { registeredModel, experiment }: Pick<TrainingSettings, "registeredModel" | "experiment">,
  { secrets, identity }: { readonly secrets: SecretNames; readonly identity: boolean },
): KeyFile {
  if (publish === undefined) return NO_KEY;
  const key =
    publish.kind === "gcs"
      ? gcsKeyFile(publish, identity, secrets)
      : { ...NO_KEY, env: secretEnvs(ARTIFACTORY_KEYS, secrets) };
  const env = plainEnv({
    LLMOPS_PUBLISH: JSON.stringify(destination(publish)),
    LLMOPS_REGISTERED_MODEL: registeredModel ?? experiment,
  });
  return { ...key, env: [...env, ...key.env] };
}
