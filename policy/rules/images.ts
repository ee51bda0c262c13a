import { containers } from "../objects";
import type { ResourceRule } from "../rule";
import { at, text } from "../values";

/** An image that can change under its name is another one tomorrow. */
export const imageByDigest: ResourceRule = {
  name: "image-by-digest",
  description: "Containers run images by digest.",
  remedy: "Give the image as repository@sha256:…, such as the repoDigest of a docker.Image.",
  check: (resource) =>
    containers(resource).flatMap(({ name, value }) => {
      const image = text(at(value, "image"));
      if (image === undefined || /@sha256:[0-9a-f]{64}$/.test(image)) return [];
      return [`Container ${name} runs ${image}, which is no digest.`];
    }),
};

/** Only images of registries that somebody answers for. */
export const imageRegistry: ResourceRule = {
  name: "image-registry",
  description: "Containers run images of the allowed registries only.",
  remedy:
    "Mirror the image to an allowed registry, or add its registry to image-registry.allowed in policy/settings.ts.",
  settings: { allowed: "registries with folder, such as europe-docker.pkg.dev/acme/ml" },
  check: (resource, { allowed = [] }) =>
    containers(resource).flatMap(({ name, value }) => {
      const image = text(at(value, "image"));
      if (image === undefined || allowed.some((registry) => image.startsWith(`${registry}/`))) {
        return [];
      }
      return [`Container ${name} runs ${image}, of none of: ${allowed.join(", ")}.`];
    }),
};
