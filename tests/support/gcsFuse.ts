/** A pod template, as far as the driver looks at it. */
export interface FusePod {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
  readonly spec: {
    readonly hostNetwork?: boolean;
    readonly serviceAccountName: string;
    readonly securityContext: { readonly runAsUser?: number; readonly fsGroup?: number };
    readonly containers: readonly {
      readonly volumeMounts: readonly {
        readonly name: string;
        readonly readOnly?: boolean;
        readonly subPath?: string;
      }[];
    }[];
    readonly volumes: readonly {
      readonly name: string;
      readonly csi?: {
        readonly driver: string;
        readonly readOnly?: boolean;
        readonly volumeAttributes: Readonly<Record<string, string>>;
      };
    }[];
  };
}

/** Attributes of an ephemeral volume that the driver reads; it passes over others in silence. */
const ATTRIBUTES = new Set([
  "bucketName",
  "mountOptions",
  "fileCacheCapacity",
  "fileCacheForRangeRead",
  "metadataStatCacheCapacity",
  "metadataTypeCacheCapacity",
  "metadataCacheTTLSeconds",
  "gcsfuseLoggingSeverity",
  "skipCSIBucketAccessCheck",
  "disableMetrics",
]);

/** Options that the sidecar refuses, since the driver sets them itself. */
const REFUSED =
  /^(log-file|log-format|o|cache-dir|temp-dir|config-file|foreground|key-file|token-url|reuse-token-from-url|prometheus-port|kernel-params-file)\b/;

/** `flag`, `flag=value`, or a path of the configuration file: `section:key:value`. */
const OPTION = /^[a-z][a-z-]*(=[^=,\s]+|(:[a-z][a-z-]*)+:[\w.-]+)?$/;

const LIMIT = /^gke-gcsfuse\/(cpu|memory|ephemeral-storage)-(limit|request)$/;
const QUANTITY = /^[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?$/;

/**
 * What the GCS FUSE CSI driver of GKE would not accept or would pass over in a pod with a mounted
 * bucket. Sources, read at commit 5fcdc04a of GoogleCloudPlatform/gcs-fuse-csi-driver:
 * docs/authentication.md (uid and gid for pods that are not root, no host network, Workload
 * Identity), docs/known-issues.md (annotation, sidecar), examples/ephemeral (the volume),
 * pkg/webhook/mutatingwebhook.go (names of annotations), pkg/csi_driver/utils.go (attributes,
 * commas between options), pkg/sidecar_mounter/sidecar_mounter_config.go (refused options).
 */
export function gcsFuseFaults({ metadata, spec }: FusePod): string[] {
  const faults: string[] = [];
  const check = (good: boolean, fault: string): void => {
    if (!good) faults.push(fault);
  };
  const volumes = spec.volumes.flatMap(({ name, csi }) =>
    csi === undefined ? [] : [{ name, csi }],
  );
  check(volumes.length > 0, "no volume of a CSI driver");
  check(metadata.annotations["gke-gcsfuse/volumes"] === "true", "no annotation, so no sidecar");
  check(spec.hostNetwork !== true, "Workload Identity does not work on the host's network");
  check(spec.serviceAccountName !== "default", "the default service account has no identity");
  for (const [key, value] of Object.entries(metadata.annotations)) {
    if (!key.startsWith("gke-gcsfuse/") || key === "gke-gcsfuse/volumes") continue;
    check(LIMIT.test(key) && QUANTITY.test(value), `annotation ${key}: ${value}`);
  }
  for (const { name, csi } of volumes) {
    const { bucketName, mountOptions = "" } = csi.volumeAttributes;
    const options = mountOptions.split(",");
    const has = (option: RegExp): boolean => options.some((each) => option.test(each));
    check(csi.driver === "gcsfuse.csi.storage.gke.io", `driver ${csi.driver}`);
    check(
      /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(bucketName ?? ""),
      `bucket ${bucketName ?? ""}`,
    );
    for (const key of Object.keys(csi.volumeAttributes))
      check(ATTRIBUTES.has(key), `attribute ${key}`);
    for (const option of options) {
      check(OPTION.test(option), `option ${option}`);
      check(!REFUSED.test(option), `the driver sets ${option} itself`);
    }
    check(has(/^implicit-dirs$/), "folders without an object of their own stay hidden");
    check(
      spec.securityContext.runAsUser === undefined || (has(/^uid=\d+$/) && has(/^gid=\d+$/)),
      "no uid and gid",
    );
    check(
      spec.securityContext.fsGroup !== undefined || has(/^file-mode=/),
      "no fsGroup and no file-mode",
    );
    const mounts = spec.containers.flatMap(({ volumeMounts }) =>
      volumeMounts.filter((mount) => mount.name === name),
    );
    check(mounts.length > 0, `${name} is mounted nowhere`);
    for (const { readOnly, subPath } of mounts) {
      check(readOnly === true && csi.readOnly === true, `${name} is not read-only`);
      check(subPath === undefined, `${name} is mounted by subPath, which only-dir is for`);
    }
  }
  return faults;
}
