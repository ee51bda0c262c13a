import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { DownloadedSource, ModelSource } from "../config/sources";
import { isDownloaded } from "../config/sources";
import { fetchModel } from "./fetch";
import type { FetchArgs } from "./fetch";
import { FUSE_ANNOTATIONS, bucketVolume } from "./gcs";
import type { NamedVolume } from "./pod";
import type { ServedRun } from "./servedRun";
import { runCheck } from "./servedRun";
import { MODELS_FOLDER, SOURCES_FOLDER, modelPath } from "./source";

/** Names of the claims that models lie on. */
export interface ModelClaims {
  readonly modelOutput: Input<string>;
  /** Where downloads go; undefined: onto `modelOutput`. */
  readonly hubCache: Input<string> | undefined;
}

/** What a pod needs to be able to read a model. */
export interface ModelPieces {
  /** Annotations of the pod. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly initContainers: types.input.core.v1.Container[];
  /** Read-only mounts of the container that reads the model. */
  readonly mounts: types.input.core.v1.VolumeMount[];
  /** Volumes besides that of `model-output-pvc`. */
  readonly volumes: NamedVolume[];
  /** Whether `model-output-pvc` is read or written at all. */
  readonly usesModelOutput: boolean;
}

/** Where a model comes from, and what the pod has to reach it. */
export interface ModelPiecesArgs extends Omit<FetchArgs, "source" | "store"> {
  readonly source: ModelSource;
  readonly claims: ModelClaims;
  /** Name of the pod's volume of `model-output-pvc`. */
  readonly outputVolume: string;
  /** A training run that must be complete first, and the path of its model. */
  readonly served?: { readonly run: ServedRun; readonly modelPath: Input<string> } | undefined;
}

const BUCKET_VOLUME = "model-bucket";
const CACHE_VOLUME = "hub-cache";

const onOutput = (outputVolume: string): types.input.core.v1.VolumeMount => ({
  name: outputVolume,
  mountPath: MODELS_FOLDER,
});

/** A download: the init container writes the volume, the other container only reads it. */
function downloaded(args: ModelPiecesArgs, source: DownloadedSource): ModelPieces {
  const { hubCache } = args.claims;
  const cache =
    hubCache === undefined
      ? []
      : [{ name: CACHE_VOLUME, persistentVolumeClaim: { claimName: hubCache } }];
  const store =
    hubCache === undefined
      ? onOutput(args.outputVolume)
      : { name: CACHE_VOLUME, mountPath: SOURCES_FOLDER };
  const { container, volumes } = fetchModel({ ...args, source, store });
  return {
    annotations: {},
    initContainers: [container],
    mounts: [{ ...store, readOnly: true }],
    volumes: [...cache, ...volumes],
    usesModelOutput: hubCache === undefined,
  };
}

/** The pieces of a pod that reads a model. A bucket is mounted right where the model is looked for. */
export function modelPieces(args: ModelPiecesArgs): ModelPieces {
  const { source, outputVolume } = args;
  if (isDownloaded(source)) return downloaded(args, source);
  const common = { initContainers: [], annotations: {} };
  if (source.kind === "gcs") {
    return {
      ...common,
      annotations: FUSE_ANNOTATIONS,
      mounts: [{ name: BUCKET_VOLUME, mountPath: modelPath(source), readOnly: true }],
      volumes: [bucketVolume(BUCKET_VOLUME, source)],
      usesModelOutput: false,
    };
  }
  const mount = onOutput(outputVolume);
  const { served, image } = args;
  return {
    ...common,
    initContainers: served === undefined ? [] : [runCheck({ ...served, image, mount })],
    mounts: [{ ...mount, readOnly: true }],
    volumes: [],
    usesModelOutput: true,
  };
}
