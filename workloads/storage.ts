import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { Settings } from "../config/schema";
import type { ClaimSettings } from "../config/storage";

/** The PersistentVolume of a `hostPath` claim, pinned to its node; it keeps its data when released. */
export function hostPathVolumeSpec(
  { size, accessMode }: Pick<ClaimSettings, "size" | "accessMode">,
  { path, node }: { readonly path: string; readonly node: string },
): types.input.core.v1.PersistentVolumeSpec {
  return {
    capacity: { storage: size },
    accessModes: [accessMode],
    persistentVolumeReclaimPolicy: "Retain",
    storageClassName: "",
    hostPath: { path, type: "Directory" },
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [
          {
            matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }],
          },
        ],
      },
    },
  };
}

/** The PersistentVolumeClaim itself, bound to `volumeName` if one is given. */
export function claimSpec(
  { size, accessMode, volume }: ClaimSettings,
  volumeName: Input<string> | undefined,
): types.input.core.v1.PersistentVolumeClaimSpec {
  return {
    accessModes: [accessMode],
    resources: { requests: { storage: size } },
    ...(volumeName === undefined ? {} : { volumeName, storageClassName: "" }),
    ...(volume.kind === "storageClass" && volume.name !== undefined
      ? { storageClassName: volume.name }
      : {}),
  };
}

/** Options of an object that a stack takes over: it gets into the state, and stays as it was found. */
export function adoption(id: string): {
  readonly import: string;
  readonly ignoreChanges: string[];
} {
  return { import: id, ignoreChanges: ["metadata", "spec"] };
}

/** Whether the namespace is protected: with it would go every claim in it, whoever made it. */
export function keepsNamespace(storage: Settings["storage"]): boolean {
  return Object.values(storage).some((claim) => claim?.protect === true);
}
