import type { Settings } from "../../config/schema";
import { settingsSchema } from "../../config/schema";

/** A small valid configuration as a user would write it; tests change one thing of it. */
export function validTree(): Record<string, unknown> {
  return {
    cluster: { context: "test" },
    images: {
      accelerator: "cpu",
      registry: "registry.test:5000/ml",
      baseImage: "debian:12.1",
    },
    storage: {
      modelOutput: { volume: { kind: "hostPath", path: "/mnt/models", node: "node-1" } },
      mlflow: { volume: { kind: "storageClass" } },
    },
    models: [{ name: "base", source: { kind: "volume", path: "base/model" } }],
  };
}

/** {@link validTree} with training on data in the project; with other settings of it, and whatever else is changed. */
export function trainingTree(training: object = {}, change: object = {}): Record<string, unknown> {
  return {
    ...validTree(),
    training: {
      configFile: "examples/lumen7/lora.yaml",
      baseModel: { kind: "volume", path: "base/model" },
      data: { kind: "files", path: "examples/lumen7" },
      ...training,
    },
    models: [{ name: "tuned", source: { kind: "training" } }],
    ...change,
  };
}

/** Parses a tree that must be valid. */
export function settingsOf(tree: Record<string, unknown>): Settings {
  return settingsSchema.parse(tree);
}

/** Settings of the one model of a valid tree, changed. */
export function modelOf(change: object = {}): Settings["models"][number] {
  const source = { kind: "volume", path: "m" };
  const models = [{ name: "base", source, ...change }];
  const [model] = settingsOf({ ...validTree(), models }).models;
  if (model === undefined) throw new Error("the tree has a model");
  return model;
}

/** Settings of the training of a valid tree, changed. */
export function trainingOf(change: object = {}): NonNullable<Settings["training"]> {
  const { training } = settingsOf(trainingTree(change));
  if (training === undefined) throw new Error("the tree has a training section");
  return training;
}

/** A commit of a hub repository. */
export const REVISION = "0123456789abcdef0123456789abcdef01234567";

/** One source of each kind that comes from outside of the cluster, as a user would write it. */
export const REMOTE_SOURCES = {
  huggingface: { kind: "huggingface", id: "Acme/Base-1B", revision: REVISION },
  download: { kind: "gcs", uri: "gs://acme-models/base/Base-1B", access: "download" },
  mount: { kind: "gcs", uri: "gs://acme-models/base/Base-1B", access: "mount" },
  artifactory: { kind: "artifactory", path: "models/Base-1B.tar.zst" },
} as const;

/** {@link validTree} with one model from `source`, and whatever else is changed. */
export function sourceTree(source: object, change: object = {}): Record<string, unknown> {
  return { ...validTree(), models: [{ name: "base", source }], ...change };
}

/** Google service accounts for both kinds of pods. */
export const IDENTITY = {
  gcp: {
    workloadIdentity: {
      training: "train@acme.iam.gserviceaccount.com",
      inference: "serve@acme.iam.gserviceaccount.com",
    },
  },
};

/** A project and a region, and what is made there. */
export function gcpTree(made: object, change: object = {}): Record<string, unknown> {
  return {
    ...validTree(),
    gcp: { project: "acme-ml", region: "europe-west4", ...made },
    ...change,
  };
}

/** The cluster that a stack makes, with one pool of one L4 a machine. */
export const GKE = {
  name: "llmops",
  authorizedNetworks: ["198.51.100.0/24"],
  gpuPools: [{ name: "l4", gpu: "nvidia-l4", machineType: "g2-standard-8", max: 2 }],
} as const;

/** A stack that makes its cluster, with `gke` changed. */
export function gkeTree(gke: object = {}, change: object = {}): Record<string, unknown> {
  return gcpTree(
    { gke: { ...GKE, ...gke } },
    {
      cluster: { context: "made", kind: "gke" },
      images: { accelerator: "cuda", registry: "registry.test/ml", baseImage: "debian:12.1" },
      ...change,
    },
  );
}
