import type { Input, Output } from "@pulumi/pulumi";
import { interpolate } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { ModelSource } from "../config/sources";
import type { TrainingSettings } from "../config/training";
import type { TrainingConfig } from "../config/trainingFile";
import { MODELS_COMMAND } from "./fetch";
import { containerDefaults, resourceRequirements } from "./pod";
import { MODELS_FOLDER, modelPath } from "./source";
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
  /** The run that has to be complete; undefined where `pulumi up` has waited for it, or none is served. */
  readonly run: ServedRun | undefined;
  /** Whether the server must be changed only after this stack's training has succeeded. */
  readonly afterTraining: boolean;
}

/** A stack's training, and the run that it makes. */
export interface TrainedRun {
  readonly settings: Pick<TrainingSettings, "merge" | "await" | "timeoutMinutes">;
  readonly config: TrainingConfig;
  readonly runId: Output<string>;
}

/**
 * What a model server serves: a model from somewhere, the run of this stack's training, or an
 * earlier run that the settings name.
 */
export function servedModel(source: ModelSource, trained: TrainedRun | undefined): ServedModel {
  if (source.kind !== "training" || trained === undefined) {
    return { modelPath: modelPath(source), run: undefined, afterTraining: false };
  }
  const { settings, config, runId } = trained;
  const id: Input<string> = source.run ?? runId;
  const folder = trainedModelFolder(config, settings.merge, "{id}").split("{id}");
  const path = interpolate`${MODELS_FOLDER}/${folder[0] ?? ""}${id}${folder[1] ?? ""}`;
  const awaited = source.run === undefined && settings.await;
  const minutes = source.run === undefined ? settings.timeoutMinutes : 0;
  return {
    modelPath: path,
    run: awaited ? undefined : { runs: `${MODELS_FOLDER}${runsFolder(config)}`, id, minutes },
    afterTraining: awaited,
  };
}

/** The init container that ends well once a run is complete, and says which runs are otherwise. */
export function runCheck(args: {
  readonly run: ServedRun;
  readonly modelPath: Input<string>;
  readonly image: Input<string>;
  readonly mount: types.input.core.v1.VolumeMount;
}): types.input.core.v1.Container {
  const { run, modelPath: model, image, mount } = args;
  return {
    ...containerDefaults(),
    name: "check-run",
    image,
    command: [...MODELS_COMMAND],
    args: [
      "run",
      "--runs",
      run.runs,
      "--id",
      run.id,
      "--model",
      model,
      "--minutes",
      String(run.minutes),
    ],
    resources: resourceRequirements({ cpu: "50m", memory: "128Mi" }, "cpu"),
    volumeMounts: [{ ...mount, readOnly: true }],
  };
}
