import type { Input, Output } from "@pulumi/pulumi";
import { interpolate } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { ModelSettings } from "../config/models";
import type { ModelSource } from "../config/sources";
import type { TrainingSettings } from "../config/training";
import type { TrainingConfig } from "../config/trainingFile";
import { MODELS_COMMAND } from "./fetch";
import { containerDefaults, resourceRequirements } from "./pod";
import { modelPath, rootFolder } from "./source";
import { runsFolder, trainedModelFolder } from "./trainingRun";

/** The training run that a model server reads, and how it makes sure that it is complete. */
export interface ServedRun {
  /** Folder in the container that has a folder for each run. */
  readonly runs: string;
  readonly id: Input<string>;
  /** How long to wait for it; 0 only looks. */
  readonly minutes: number;
}

/** What a model server serves. */
export interface ServedModel {
  /** Path of the model in the container. */
  readonly modelPath: Input<string>;
  /** Folder of the training run in the container; undefined where none is served. */
  readonly folder?: Input<string>;
  /** The run that has to be complete; undefined where `pulumi up` has waited for it, or none is served. */
  readonly run: ServedRun | undefined;
  /** Whether the server must be changed only after this stack's training has succeeded. */
  readonly afterTraining: boolean;
}

/** A stack's training, and the run that it makes. */
export interface TrainedRun {
  readonly settings: Pick<TrainingSettings, "merge" | "await" | "timeoutMinutes" | "tracking">;
  readonly config: TrainingConfig;
  readonly runId: Output<string>;
}

/**
 * What a model server serves, as its model or under the name of an adapter: something from
 * elsewhere, the run of this stack's training, or an earlier run that the settings name.
 */
export function servedModel(
  source: ModelSource,
  trained: TrainedRun | undefined,
  adapter?: string,
): ServedModel {
  const root = rootFolder(adapter);
  if (source.kind !== "training" || trained === undefined) {
    return { modelPath: modelPath(source, root), run: undefined, afterTraining: false };
  }
  const { settings, config, runId } = trained;
  const id: Input<string> = source.run ?? runId;
  const [before = "", after = ""] = trainedModelFolder(config, settings.merge, "{id}").split(
    "{id}",
  );
  const awaited = source.run === undefined && settings.await;
  const minutes = source.run === undefined ? settings.timeoutMinutes : 0;
  return {
    modelPath: interpolate`${root}/${before}${id}${after}`,
    folder: interpolate`${root}/${before}${id}`,
    run: awaited ? undefined : { runs: `${root}${runsFolder(config)}`, id, minutes },
    afterTraining: awaited,
  };
}

type Served = Pick<ModelSettings, "source" | "adapters">;

const everyServed = (
  { source, adapters }: Served,
  trained: TrainedRun | undefined,
): ServedModel[] =>
  [source, ...adapters.map((adapter) => adapter.source)].map((each) => servedModel(each, trained));

/** Whether a model server must be changed only after this stack's training has succeeded. */
export function afterTraining(settings: Served, trained: TrainedRun | undefined): boolean {
  return everyServed(settings, trained).some((served) => served.afterTraining);
}

/** How long a new pod of a model server may wait for training. */
export function waitMinutes(settings: Served, trained: TrainedRun | undefined): number {
  return Math.max(...everyServed(settings, trained).map(({ run }) => run?.minutes ?? 0));
}

/** The init container that ends well once the run is complete, and says which runs are otherwise. */
export function runCheck(
  args: {
    readonly served?: ServedModel | undefined;
    readonly adapter?: string | undefined;
    readonly image: Input<string>;
  },
  mount: types.input.core.v1.VolumeMount,
): types.input.core.v1.Container[] {
  const { served, adapter, image } = args;
  if (served?.run === undefined) return [];
  const { runs, id, minutes } = served.run;
  return [
    {
      ...containerDefaults(),
      name: adapter === undefined ? "check-run" : `check-run-${adapter}`,
      image,
      command: [...MODELS_COMMAND],
      args: [
        ...["run", "--runs", runs, "--id", id],
        ...["--model", served.modelPath, "--minutes", String(minutes)],
      ],
      resources: resourceRequirements({ cpu: "50m", memory: "128Mi" }, "cpu"),
      volumeMounts: [{ ...mount, readOnly: true }],
    },
  ];
}
