import type { Settings } from "./schema";
import type { ModelSource } from "./sources";

/** The two kinds of pods that read or write models. */
export type ModelRole = "training" | "inference";

/** A source as a stack uses it. */
export interface UsedSource {
  /** Path of the setting, such as `models[0].source`. */
  readonly key: string;
  readonly role: ModelRole;
  /** Name of the model that is served from it; undefined for the base model of training. */
  readonly model: string | undefined;
  readonly source: ModelSource;
}

/** Every source of a stack: those of the models, then that of the base model. */
export function usedSources({
  models,
  training,
}: Pick<Settings, "models" | "training">): UsedSource[] {
  return [
    ...models.map(({ name, source }, index) => ({
      key: `models[${String(index)}].source`,
      role: "inference" as const,
      model: name,
      source,
    })),
    ...(training === undefined
      ? []
      : [
          {
            key: "training.baseModel",
            role: "training" as const,
            model: undefined,
            source: training.baseModel,
          },
        ]),
  ];
}

/** Whether the pods of a role act as a Google service account. */
export function hasIdentity({ gcp }: Pick<Settings, "gcp">, role: ModelRole): boolean {
  return gcp?.workloadIdentity[role] !== undefined;
}
