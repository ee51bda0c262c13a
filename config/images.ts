import { z } from "zod";
import { digestImage, dnsLabel, pinnedImage, plainUrl } from "./primitives";

/** How the images are built and where they are pushed. */
export const imagesSchema = z.strictObject({
  /** Registry and folder that the images are pushed to, such as `europe-docker.pkg.dev/acme/ml`. */
  registry: z.string().regex(/^[a-z0-9.-]+(:[0-9]+)?(\/[a-z0-9._-]+)*$/, {
    error: "host[:port][/folder], without a scheme and without a tag",
  }),
  /** `cuda` for GPUs, `cpu` for machines without one. */
  accelerator: z.enum(["cuda", "cpu"]).default("cuda"),
  /** Tag of the pushed images. Pods use the digest, never the tag. */
  tag: z
    .string()
    .regex(/^(?!latest$)[\w][\w.-]{0,127}$/, { error: "an image tag other than latest" })
    .default("0.1.0"),
  /** Debian 12 image that all are built on. */
  baseImage: pinnedImage,
  /** Python package index. @default the index that the base image is set up for */
  packageIndex: plainUrl.optional(),
  /** Debian mirror. @default the mirror that the base image is set up for */
  aptMirror: plainUrl.optional(),
  /** PEM file in images/ca with the certificates that the site's servers are signed by. */
  caBundle: z
    .string()
    .regex(/^images\/ca\/[\w-][\w.-]*$/, {
      error: "a file in images/ca, such as images/ca/site.pem",
    })
    .optional(),
  /** Compile FlashAttention into the training image (about an hour, needs CUDA). */
  flashAttention: z.boolean().default(false),
  /** Network of RUN steps: `host` where the builder has no bridge of its own. */
  buildNetwork: z.enum(["default", "host"]).default("default"),
  /** NVIDIA's dcgm-exporter; needed with `training.dcgmExporter`. */
  dcgmExporter: digestImage.optional(),
  /** Names of existing image pull Secrets in the namespace. */
  pullSecrets: z.array(dnsLabel(253)).default([]),
});
