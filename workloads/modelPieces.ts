import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { ModelSource } from "../config/sources";
import { isDownloaded } from "../config/sources";
import { fetchPieces, modelTarget } from "./fetch";
import type { FetchArgs } from "./fetch";
import { FUSE_ANNOTATIONS, bucketVolume } from "./gcs";
import type { NamedVolume } from "./pod";
import type { ServedModel } from "./servedRun";
import { runCheck } from "./servedRun";
import { modelPath, rootFolder, sourcesFolder } from "./source";

/** Names of the claims that models lie on. */
export interface ModelClaims {
  readonly modelOutput: Input<string>;
  /** Where downloads go; undefined: onto `modelOutput`. */
  readonly hubCache: Input<string> | undefined;
  /** Where compiled code is kept; undefined: on `modelOutput`. */
  readonly compileCache?: Input<string> | undefined;
}

/** What a pod needs to be able to read a model. */
export interface ModelPieces {
  /** Annotations of the pod. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly initContainers: types.input.core.v1.Container[];
  /** Mounts of the container that reads the model; of what it reads, read-only. */
  readonly mounts: types.input.core.v1.VolumeMount[];
  /** Volumes besides that of `model-output-pvc`. */
  readonly volumes: NamedVolume[];
  /** What is done with `model-output-pvc`; undefined: nothing. */
  readonly modelOutput: "read" | "written" | undefined;
}

/** What is downloaded, and onto which claim. */
export interface DownloadArgs extends Omit<FetchArgs, "store"> {
  readonly claims: ModelClaims;
  /** Name of the pod's volume of `model-output-pvc`. */
  readonly outputVolume: string;
}

/** Where a model comes from, and what the pod has to reach it. */
export interface ModelPiecesArgs extends Omit<DownloadArgs, "source" | "target"> {
  readonly source: ModelSource;
  /** Name of the adapter that it is; undefined for a model. */
  readonly adapter?: string | undefined;
  /** What is served: it may be a run that must be complete first. */
  readonly served?: ServedModel | undefined;
}

const CACHE_VOLUME = "hub-cache";

/** A download: the init container writes the volume, the other container only reads it. */
export function downloadPieces(args: DownloadArgs): ModelPieces {
  const { hubCache } = args.claims;
  const { root } = args.target;
  const cache =
    hubCache === undefined
      ? []
      : [{ name: CACHE_VOLUME, persistentVolumeClaim: { claimName: hubCache } }];
  const store =
    hubCache === undefined
      ? { name: args.outputVolume, mountPath: root }
      : { name: CACHE_VOLUME, mountPath: sourcesFolder(root) };
  const { container, volumes } = fetchPieces({ ...args, store });
  return {
    annotations: {},
    initContainers: [container],
    mounts: [{ ...store, readOnly: true }],
    volumes: [...cache, ...volumes],
    modelOutput: hubCache === undefined ? "written" : undefined,
  };
}

/** The pieces of a pod that reads a model. A bucket is mounted right where the model is looked for. */
export function modelPieces(args: ModelPiecesArgs): ModelPieces {
  const { source, adapter } = args;
  if (isDownloaded(source)) {
    return downloadPieces({ ...args, source, target: modelTarget(source, adapter) });
  }
  const common = { initContainers: [], annotations: {} };
  if (source.kind === "gcs") {
    const name = adapter === undefined ? "model-bucket" : `bucket-${adapter}`;
    const mountPath = modelPath(source, rootFolder(adapter));
    return {
      ...common,
      annotations: FUSE_ANNOTATIONS,
      mounts: [{ name, mountPath, readOnly: true }],
      volumes: [bucketVolume(name, source)],
      modelOutput: undefined,
    };
  }
  const mount = { name: args.outputVolume, mountPath: rootFolder(adapter) };
  return {
    ...common,
    initContainers: runCheck(args, mount),
    mounts: [{ ...mount, readOnly: true }],
    volumes: [],
    modelOutput: "read",
  };
}

/** The pieces of a pod that reads several models: a volume that several need is there once. */
export function joinPieces(pieces: readonly ModelPieces[]): ModelPieces {
  const uses = pieces.map(({ modelOutput }) => modelOutput);
  const volumes = pieces.flatMap((each) => each.volumes);
  return {
    annotations: Object.fromEntries(
      pieces.flatMap(({ annotations }) => Object.entries(annotations)),
    ),
    initContainers: pieces.flatMap(({ initContainers }) => initContainers),
    mounts: pieces.flatMap(({ mounts }) => mounts),
    volumes: [...new Map(volumes.map((volume) => [volume.name, volume])).values()],
    modelOutput: uses.find((use) => use === "written") ?? uses.find((use) => use === "read"),
  };
}
