import type { Settings } from "./schema";
import type { ModelSource } from "./sources";
import { isDownloadedData } from "./training";

/** The two kinds of pods that read or write models. */
export type ModelRole = "training" | "inference";

/** A source as a stack uses it. */
export interface UsedSource {
  /** Path of the setting, such as `models[0].source` or `models[0].adapters[1].source`. */
  readonly key: string;
  readonly role: ModelRole;
  /** Name of the model whose server reads it; undefined for what training reads. */
  readonly model: string | undefined;
  readonly source: ModelSource;
}

/** Every source of a stack: those of the models, each with its adapters, then those of training. */
export function usedSources({
  models,
  training,
}: Pick<Settings, "models" | "training">): UsedSource[] {
  const trains = (key: string, source: ModelSource): UsedSource => ({
    key: `training.${key}`,
    role: "training",
    model: undefined,
    source,
  });
  return [
    ...models.flatMap((model, index) => {
      const key = `models[${String(index)}]`;
      const used = (path: string, source: ModelSource): UsedSource => ({
        key: `${key}.${path}`,
        role: "inference",
        model: model.name,
        source,
      });
      return [
        used("source", model.source),
        ...model.adapters.map(({ source }, at) => used(`adapters[${String(at)}].source`, source)),
      ];
    }),
    ...(training === undefined
      ? []
      : [
          trains("baseModel", training.baseModel),
          ...(isDownloadedData(training.data) ? [trains("data", training.data)] : []),
        ]),
  ];
}

/** The kinds of pods that can act as a Google service account. */
export type IdentityRole = ModelRole | "mlflow";

/** Whether the pods of a role act as a Google service account. */
export function hasIdentity({ gcp }: Pick<Settings, "gcp">, role: IdentityRole): boolean {
  return gcp?.workloadIdentity[role] !== undefined;
}
