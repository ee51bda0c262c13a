import { REPOSITORY_PORTS } from "./sources";
import type { Repositories } from "./sources";

/** Models that an init container downloads. */
export const DOWNLOADED = ["hub", "bucket", "archive", "folder"] as const;

/** Models of every kind of source, by the names that they get; bucket and folder are what was published. */
export const NAMES = ["volume", ...DOWNLOADED] as const;

/** Folder of both repositories below which the trained model is published. */
const PUBLISHED = "models/published";

/** Repositories that models are published to: the settings that say so, and the address of what arrives. */
export const PUBLISHING = {
  artifactory: ({ artifactory }: Repositories) => ({
    publish: { kind: "artifactory", target: PUBLISHED },
    uri: `${artifactory.url}/${PUBLISHED}`,
  }),
  gcs: ({ storage }: Repositories) => ({
    publish: { kind: "gcs", target: `gs://${PUBLISHED}`, ...access(storage) },
    uri: `gs://${PUBLISHED}`,
  }),
} as const;

const access = ({ endpoint }: Repositories["storage"]): object => ({ endpoint, anonymous: true });

/** One of them takes a part of the requests for another one, in percent. */
export const CANARY = { name: "hub", of: "volume", weight: 20 } as const;

/** What the settings of the models depend on. */
export interface SourceInput {
  readonly repositories: Pick<Repositories, "hub" | "storage">;
  /** The run that was published. */
  readonly runId: string;
  /** Folder on `model-output-pvc` with a copy of the model. */
  readonly copy: string;
  /** SHA-256 of the archive. */
  readonly archiveDigest: string;
}

function sources(input: SourceInput): Record<(typeof NAMES)[number], object> {
  const { hub, storage } = input.repositories;
  const { revision } = hub;
  const published = `${PUBLISHED}/${input.runId}`;
  const archive = "models/lumen7.tar.gz";
  return {
    volume: { kind: "volume", path: input.copy },
    hub: { kind: "huggingface", id: "maker/lumen7", revision, endpoint: hub.endpoint },
    bucket: { kind: "gcs", uri: `gs://${published}`, access: "download", ...access(storage) },
    archive: { kind: "artifactory", path: archive, sha256: input.archiveDigest },
    folder: { kind: "artifactory", path: published },
  };
}

/**
 * Entries of `models`: the same weights from every kind of source. The cache of keys and values is cut to what a few
 * requests need (64 blocks), so that five servers fit on a machine of 24 GiB.
 */
export function sourceModels(input: SourceInput): readonly object[] {
  return Object.entries(sources(input)).map(([name, source], index) => ({
    name,
    source,
    options: {
      "max-model-len": 1024,
      "enforce-eager": true,
      dtype: "bfloat16",
      "num-gpu-blocks-override": 64,
    },
    replicas: { min: 1, max: 1 },
    resources: { cpu: "100m", memory: "3584Mi", shm: "256Mi" },
    cpuKvCacheGiB: 1,
    fetchResources: { cpu: "100m", memory: "512Mi" },
    service: { type: "NodePort", nodePort: 30801 + index },
    ...(name === CANARY.name ? { canary: { of: CANARY.of, weight: CANARY.weight } } : {}),
  }));
}

/** `network.egress` that reaches the repositories of a node and nothing else. */
export function repositoryEgress(nodeAddress: string): readonly object[] {
  return [{ cidr: `${nodeAddress}/32`, ports: REPOSITORY_PORTS }];
}
