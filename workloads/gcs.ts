import type { types } from "@pulumi/kubernetes";
import type { Input } from "@pulumi/pulumi";
import type { Settings } from "../config/schema";
import type { GcsSource } from "../config/sources";
import type { Role } from "./names";
import type { NamedVolume, SecretNames } from "./pod";
import { USER_ID, plainEnv } from "./pod";

const KEY_VOLUME = "gcs-key";
const KEY_FOLDER = "/var/run/secrets/gcs";
const KEY_FILE = "key.json";

/** A service-account key as a file, for one container. */
export interface KeyFile {
  readonly env: types.input.core.v1.EnvVar[];
  readonly mounts: types.input.core.v1.VolumeMount[];
  readonly volumes: NamedVolume[];
}

/** What a container gets that needs to prove nothing. */
export const NO_KEY: KeyFile = { env: [], mounts: [], volumes: [] };

/** The key file for a container that uses a bucket; nothing where an identity or no one is asked. */
export function gcsKeyFile(
  access: { readonly anonymous: boolean },
  identity: boolean,
  secrets: SecretNames,
): KeyFile {
  const secret: Input<string> | undefined = secrets["GCS_KEY"];
  if (secret === undefined || access.anonymous || identity) return NO_KEY;
  return {
    env: plainEnv({ GOOGLE_APPLICATION_CREDENTIALS: `${KEY_FOLDER}/${KEY_FILE}` }),
    mounts: [{ name: KEY_VOLUME, mountPath: KEY_FOLDER, readOnly: true }],
    volumes: [
      {
        name: KEY_VOLUME,
        secret: {
          secretName: secret,
          items: [{ key: "GCS_KEY", path: KEY_FILE }],
          defaultMode: 0o440,
        },
      },
    ],
  };
}

/** Annotations of the service account of a role: the Google account that its pods act as. */
export function serviceAccountAnnotations(
  role: Role,
  { gcp }: Pick<Settings, "gcp">,
): Record<string, string> {
  const account = gcp?.workloadIdentity[role];
  return account === undefined ? {} : { "iam.gke.io/gcp-service-account": account };
}

/**
 * Annotations of a pod that mounts a bucket. The driver's webhook adds its sidecar to such a pod;
 * `"0"` takes the sidecar's limits away, as its file cache may hold the whole model.
 */
export const FUSE_ANNOTATIONS: Readonly<Record<string, string>> = {
  "gke-gcsfuse/volumes": "true",
  "gke-gcsfuse/cpu-limit": "0",
  "gke-gcsfuse/memory-limit": "0",
  "gke-gcsfuse/ephemeral-storage-limit": "0",
};

/** Mount options for weights, which are large, read in parallel, and never change in place. */
const WEIGHTS_OPTIONS = [
  "implicit-dirs",
  `uid=${String(USER_ID)}`,
  `gid=${String(USER_ID)}`,
  "metadata-cache:ttl-secs:-1",
  "metadata-cache:stat-cache-max-size-mb:-1",
  "metadata-cache:type-cache-max-size-mb:-1",
  "metadata-cache:negative-ttl-secs:0",
  "file-cache:max-size-mb:-1",
  "file-cache:cache-file-for-range-read:true",
  "file-cache:enable-parallel-downloads:true",
  "file-system:kernel-list-cache-ttl-secs:-1",
] as const;

/** A folder of a bucket as a read-only volume of the GCS FUSE CSI driver of GKE. */
export function bucketVolume(name: string, { uri }: Pick<GcsSource, "uri">): NamedVolume {
  const [bucket = "", ...folders] = uri.slice("gs://".length).replace(/\/+$/, "").split("/");
  return {
    name,
    csi: {
      driver: "gcsfuse.csi.storage.gke.io",
      readOnly: true,
      volumeAttributes: {
        bucketName: bucket,
        mountOptions: [`only-dir=${folders.join("/")}`, ...WEIGHTS_OPTIONS].join(","),
      },
    },
  };
}
