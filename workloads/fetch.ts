import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { DataSource, DownloadedSource } from "../config/sources";
import { NO_KEY, gcsKeyFile } from "./gcs";
import type { KeyFile } from "./gcs";
import { NAMES } from "./names";
import type { ResourceSettings, SecretNames } from "./pod";
import {
  OFFLINE_ENV,
  PRIVATE_ENV,
  containerDefaults,
  plainEnv,
  resourceRequirements,
  secretEnvs,
} from "./pod";
import { DATA_FOLDER, dataPath, modelPath, rootFolder } from "./source";

/** Keys of the Secret that says where Artifactory is and who asks. */
export const ARTIFACTORY_KEYS = [
  "ARTIFACTORY_URL",
  "ARTIFACTORY_USERNAME",
  "ARTIFACTORY_PASSWORD",
] as const;

/** How the downloader ends when it does not succeed; sysexits.h has the numbers. */
export const FETCH_EXIT = { usage: 2, retry: 75, config: 78 } as const;

/** What fetches, checks and publishes models, in an environment of its own in both images. */
export const MODELS_COMMAND = ["/opt/models/bin/python", "-m", "llmops_models"] as const;

const TMP_VOLUME = "fetch-tmp";

const option = (name: string, value: string | undefined): string[] =>
  value === undefined ? [] : [name, value];

/** What a download becomes in the pod. */
export interface FetchTarget {
  /** Name of the init container. */
  readonly container: string;
  /** Folder below which downloads lie; see {@link rootFolder}. */
  readonly root: string;
  readonly path: string;
  /** Arguments that say what is wanted of it. */
  readonly options: readonly string[];
}

/** A model, or the adapter of a name. */
export function modelTarget(source: DownloadedSource, adapter?: string): FetchTarget {
  const root = rootFolder(adapter);
  const container = adapter === undefined ? NAMES.fetchContainer : `fetch-adapter-${adapter}`;
  return { container, root, path: modelPath(source, root), options: [] };
}

/** Data to train on, with its dataset_info.json. */
export function dataTarget(source: DataSource): FetchTarget {
  const info = source.info && JSON.stringify(source.info);
  return {
    container: NAMES.fetchDataContainer,
    root: DATA_FOLDER,
    path: dataPath(source),
    options: ["--data", ...option("--dataset-info", info)],
  };
}

/** What the init container is made of. */
export interface FetchArgs {
  readonly source: DownloadedSource;
  readonly target: FetchTarget;
  readonly image: Input<string>;
  readonly fetchResources: ResourceSettings;
  /** Where the volume that takes the download is mounted. */
  readonly store: types.input.core.v1.VolumeMount;
  readonly secrets: SecretNames;
  /** Whether the pod acts as a Google service account. */
  readonly identity: boolean;
}

/** Arguments of the downloader. They hold no secret: a process list shows them. */
export function fetchArguments(
  source: DownloadedSource,
  { path, options }: FetchTarget = modelTarget(source),
): string[] {
  const to = [...options, "--to", path];
  switch (source.kind) {
    case "huggingface": {
      const { id, revision, endpoint, allowPatterns } = source;
      const allow = allowPatterns.flatMap((pattern) => ["--allow", pattern]);
      const what = ["--id", id, "--revision", revision, ...option("--endpoint", endpoint)];
      return ["fetch", "huggingface", ...what, ...allow, ...to];
    }
    case "gcs": {
      const where = ["--uri", source.uri, ...option("--endpoint", source.endpoint)];
      return ["fetch", "gcs", ...where, ...(source.anonymous ? ["--anonymous"] : []), ...to];
    }
    case "artifactory": {
      const what = ["--path", source.path, ...option("--sha256", source.sha256)];
      return ["fetch", "artifactory", ...what, ...to];
    }
  }
}

/** What the downloader proves with who it is. */
function credentials({ source, secrets, identity }: FetchArgs): KeyFile {
  switch (source.kind) {
    case "huggingface":
      return { ...NO_KEY, env: secretEnvs(["HF_TOKEN"], secrets) };
    case "artifactory":
      return { ...NO_KEY, env: secretEnvs(ARTIFACTORY_KEYS, secrets) };
    case "gcs":
      return gcsKeyFile(source, identity, secrets);
  }
}

/** The init container that downloads a model or data, and the volumes that are its own. */
export function fetchPieces(args: FetchArgs): {
  readonly container: types.input.core.v1.Container;
  readonly volumes: KeyFile["volumes"];
} {
  const { env, mounts, volumes } = credentials(args);
  const offline = args.source.kind === "huggingface" ? {} : OFFLINE_ENV;
  return {
    container: {
      ...containerDefaults(),
      name: args.target.container,
      image: args.image,
      command: [...MODELS_COMMAND],
      args: fetchArguments(args.source, args.target),
      env: [...plainEnv({ ...PRIVATE_ENV, ...offline }), ...env],
      resources: resourceRequirements({ ...args.fetchResources, gpu: 0 }, "cpu"),
      volumeMounts: [args.store, ...mounts, { name: TMP_VOLUME, mountPath: "/tmp" }],
    },
    volumes: [...volumes, { name: TMP_VOLUME, emptyDir: {} }],
  };
}
