import * as pulumi from "@pulumi/pulumi";
import type { ModelSource } from "../config/sources";

/** Folder of the container in which models are mounted, read-only. */
export const MODELS_FOLDER = "/models";

/**
 * Path in the container of a model that lies on `model-output-pvc`.
 *
 * @throws {RangeError} for a kind that has no folder there; the settings refuse those
 */
export function modelPath(source: ModelSource): string {
  if (source.kind === "volume") return `${MODELS_FOLDER}/${source.path}`;
  throw new RangeError(`a source of kind ${source.kind} has no folder on model-output-pvc`);
}

/**
 * Path in the container of a model to serve. With kind `training` it is the folder of the run, and
 * so known only once the run's image is.
 */
export function servedModelPath(
  source: ModelSource,
  trainedFolder: pulumi.Output<string> | undefined,
): pulumi.Input<string> {
  return source.kind === "training" && trainedFolder !== undefined
    ? pulumi.interpolate`${MODELS_FOLDER}/${trainedFolder}`
    : modelPath(source);
}
