import { basename } from "node:path";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { ImagesSettings, Settings } from "../config/schema";

const NAMES = {
  training: "llama-factory-train",
  inference: "llama-factory-inference",
  mlflow: "mlflow",
  "front-door": "llm-front-door",
} as const;

type ImageName = keyof typeof NAMES;

/** Arguments of {@link Images}. */
export interface ImagesArgs {
  /** How they are built, and whether the front door's is built too. */
  readonly settings: Pick<Settings, "images" | "frontDoor">;
}

/**
 * Builds the images from `images/` and pushes them. Unchanged sources push nothing and show no
 * diff; run configuration is no part of an image.
 */
export class Images extends pulumi.ComponentResource {
  /** Reference by digest of the training image. */
  public readonly training: pulumi.Output<string>;
  /** Reference by digest of the inference image. */
  public readonly inference: pulumi.Output<string>;
  /** Reference by digest of the MLflow image. */
  public readonly mlflow: pulumi.Output<string>;
  /** Reference by digest of the front door's image, if it is built. */
  public readonly frontDoor: pulumi.Output<string> | undefined;

  public constructor(name: string, args: ImagesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Images", name, {}, opts);
    const { images, frontDoor } = args.settings;
    const image = (which: ImageName): pulumi.Output<string> =>
      new docker.Image(
        `${name}-${which}`,
        {
          imageName: `${images.registry}/${NAMES[which]}:${imageTag(images)}`,
          build: imageBuild(which, images),
        },
        { parent: this },
      ).repoDigest;
    this.training = image("training");
    this.inference = image("inference");
    this.mlflow = image("mlflow");
    this.frontDoor = frontDoor.enabled ? image("front-door") : undefined;
    this.registerOutputs({
      training: this.training,
      inference: this.inference,
      mlflow: this.mlflow,
      frontDoor: this.frontDoor,
    });
  }
}

function usesAccelerator(which: ImageName): boolean {
  return which === "training" || which === "inference";
}

/** Tag of an image: a version for people, pods use the digest. */
function imageTag({ tag, accelerator }: ImagesSettings): string {
  return `${tag}-${accelerator}`;
}

function imageBuild(which: ImageName, settings: ImagesSettings): docker.types.input.DockerBuild {
  return {
    context: "images",
    dockerfile: `images/${which}/Dockerfile`,
    platform: "linux/amd64",
    builderVersion: docker.BuilderVersion.BuilderBuildKit,
    ...(settings.buildNetwork === "host" ? { network: "host" } : {}),
    args: {
      BASE_IMAGE: settings.baseImage,
      PACKAGE_INDEX: settings.packageIndex ?? "",
      APT_MIRROR: settings.aptMirror ?? "",
      ...(settings.caBundle === undefined ? {} : { CA_BUNDLE: basename(settings.caBundle) }),
      ...(usesAccelerator(which) ? { ACCELERATOR: settings.accelerator } : {}),
      ...(which === "training" ? { INSTALL_FLASH_ATTN: settings.flashAttention ? "1" : "0" } : {}),
    },
  };
}
