import * as pulumi from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { ModelSettings } from "../config/models";
import type { Settings } from "../config/schema";
import type { TrainingSettings } from "../config/training";
import { modelUrl } from "./endpoints";
import { trackingUri } from "./mlflow";
import { trackingLogin } from "./mlflowAuth";
import { plainEnv } from "./pod";
import type { SecretNames } from "./pod";
import type { TrainedRun } from "./servedRun";
import { servedModel } from "./servedRun";

/** Prefix of the tags in MLflow that say where a run is served, and since when. */
export const SERVED_TAG = "llmops.served";

/** Whether the pods of a model tell MLflow of the training runs that they serve. */
export function tellsMlflow(
  { source, adapters, readyWhen }: Pick<ModelSettings, "source" | "adapters" | "readyWhen">,
  training: Pick<TrainingSettings, "tracking"> | undefined,
): boolean {
  const sources = [source, ...adapters.map((adapter) => adapter.source)];
  return (
    training?.tracking.mlflow === true &&
    readyWhen === "answers" &&
    sources.some(({ kind }) => kind === "training")
  );
}

/** Environment that the startup probe tells MLflow by, once the server has answered. */
export function servedTagsEnv(args: {
  readonly settings: ModelSettings;
  readonly stack: Pick<Settings, "namespace">;
  readonly trained: TrainedRun | undefined;
  readonly secrets: SecretNames;
}): types.input.core.v1.EnvVar[] {
  const { settings, stack, trained, secrets } = args;
  if (trained === undefined || !tellsMlflow(settings, trained.settings)) return [];
  const tag = `${SERVED_TAG}.${settings.name}`;
  const model = { tag, name: settings.servedName ?? settings.name, source: settings.source };
  const adapters = settings.adapters.map(({ name, source }) => ({
    tag: `${tag}.${name}`,
    name,
    source,
    adapter: name,
  }));
  const served = [{ ...model, adapter: undefined }, ...adapters].flatMap((each) => {
    const { folder } = servedModel(each.source, trained, each.adapter);
    return folder === undefined ? [] : [{ tag: each.tag, name: each.name, run: folder }];
  });
  return [
    { name: "LLMOPS_SERVED", value: pulumi.jsonStringify(served) },
    ...plainEnv({
      LLMOPS_SERVED_AT: modelUrl(settings.name, stack.namespace),
      MLFLOW_TRACKING_URI: trackingUri(stack.namespace),
    }),
    ...trackingLogin(secrets),
  ];
}
