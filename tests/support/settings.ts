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

/** {@link validTree} with training on data in the project. */
export function trainingTree(): Record<string, unknown> {
  return {
    ...validTree(),
    training: {
      configFile: "examples/lumen7/lora.yaml",
      baseModel: { kind: "volume", path: "base/model" },
      data: { kind: "files", path: "examples/lumen7" },
    },
    models: [{ name: "tuned", source: { kind: "training" } }],
  };
}

/** Parses a tree that must be valid. */
export function settingsOf(tree: Record<string, unknown>): Settings {
  return settingsSchema.parse(tree);
}
