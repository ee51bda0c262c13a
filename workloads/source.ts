import type { DataSource, ModelSource, RemoteSource } from "../config/sources";
import { ARCHIVE, isRemote } from "../config/sources";
import { fingerprint } from "./fingerprint";

/** Folder of the container in which `model-output-pvc` is mounted. */
export const MODELS_FOLDER = "/models";

/** Folder of the training container in which data lies. */
export const DATA_FOLDER = "/app/data";

/** Folder of the container below which models from outside of the cluster lie. */
export function sourcesFolder(root: string): string {
  return `${root}/sources`;
}

/**
 * What stands for {@link MODELS_FOLDER} for an adapter, or for the model itself where none is named.
 * Each has a folder of its own, so that no volume is ever mounted inside of another.
 */
export function rootFolder(adapter: string | undefined): string {
  return adapter === undefined ? MODELS_FOLDER : `/adapters/${adapter}`;
}

const MAX_SLUG = 40;

/**
 * What identifies a model, whichever way it is reached: a mirror, a token or a mount instead of a
 * download give the same model. Another identity is another folder, and another training run.
 */
export function sourceIdentity(source: ModelSource): object {
  switch (source.kind) {
    case "huggingface": {
      const { kind, id, revision, allowPatterns } = source;
      return { kind, id, revision, allowPatterns };
    }
    case "gcs": {
      const { kind, uri, endpoint } = source;
      return {
        kind,
        uri: uri.replace(/\/+$/, ""),
        ...(endpoint === undefined ? {} : { endpoint }),
      };
    }
    case "artifactory":
    case "volume":
    case "training":
      return source;
  }
}

/** What identifies data to train on. The same place as a model is another folder. */
export function dataIdentity(source: DataSource): object {
  const { info } = source;
  return { data: true, ...sourceIdentity(source), ...(info === undefined ? {} : { info }) };
}

function nameOf(source: RemoteSource): string {
  switch (source.kind) {
    case "huggingface":
      return source.id;
    case "gcs":
      return source.uri;
    case "artifactory":
      return source.path;
  }
}

/** Name of the folder of what comes from outside: `<slug>-<10 hex digits of its identity>`. */
export function sourceFolder(source: RemoteSource, identity = sourceIdentity(source)): string {
  const name = nameOf(source)
    .split("/")
    .findLast((segment) => segment !== "");
  const slug = (name ?? "")
    .toLowerCase()
    .replace(ARCHIVE, "")
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_SLUG)
    .replace(/^-+|-+$/g, "");
  return `${slug === "" ? "model" : slug}-${fingerprint(identity)}`;
}

/**
 * Path of a model in the containers that read it.
 *
 * @param root - folder in which `model-output-pvc` is mounted
 * @throws {RangeError} for kind `training`, whose folder is known only to its run
 */
export function modelPath(source: ModelSource, root = MODELS_FOLDER): string {
  if (source.kind === "volume") return `${root}/${source.path}`;
  if (isRemote(source)) return `${sourcesFolder(root)}/${sourceFolder(source)}`;
  throw new RangeError(`a source of kind ${source.kind} has no folder of its own`);
}

/** Path of data from outside in the training container, with its dataset_info.json. */
export function dataPath(source: DataSource): string {
  return `${sourcesFolder(DATA_FOLDER)}/${sourceFolder(source, dataIdentity(source))}`;
}
