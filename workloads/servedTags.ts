import * as pulumi from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { ModelSettings } from "../config/models";
import type { Settings } from "../config/schema";
import { modelUrl } from "./endpoints";
import { trackingUri } from "./mlflow";
import { plainEnv } from "./pod";
import type { TrainedRun } from "./servedRun";
import { servedModel } from "./servedRun";

/** Prefix of the tags in MLflow that say where a run is served, and since when. */
export const SERVED_TAG = "llmops.served";

/**
 * Whether the pods of a model tell MLflow of the training runs that they serve. They do not where MLflow asks for a
 * login: its only one is the administrator's, which no server that takes requests from outside shall hold.
 */
export function tellsMlflow(
  { source, adapters, readyWhen }: Pick<ModelSettings, "source" | "adapters" | "readyWhen">,
  { training, mlflow }: Pick<Settings, "training" | "mlflow">,
): boolean {
  const sources = [source, ...adapters.map((adapter) => adapter.source)];
  return (
    training?.tracking.mlflow === true &&
    !mlflow.auth.enabled &&
    readyWhen === "answers" &&
    sources.some(({ kind }) => kind === "training")
  );
}

/** Environment that the startup probe tells MLflow by, once the server has answered. */
export function servedTagsEnv(args: {
  readonly settings: ModelSettings;
  readonly stack: Pick<Settings, "namespace" | "training" | "mlflow">;
  readonly trained: TrainedRun | undefined;
}): types.input.core.v1.EnvVar[] {
  const { settings, stack, trained } = args;
  if (trained === undefined || !tellsMlflow(settings, stack)) return [];
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
  ];
}
