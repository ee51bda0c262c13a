import { basename } from "node:path";
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { ImagesSettings } from "../config/schema";

const NAMES = {
  training: "llama-factory-train",
  inference: "llama-factory-inference",
  mlflow: "mlflow",
} as const;

type ImageName = keyof typeof NAMES;

/** Arguments of {@link Images}. */
export interface ImagesArgs {
  readonly settings: ImagesSettings;
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

  public constructor(name: string, args: ImagesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Images", name, {}, opts);
    const image = (which: ImageName): pulumi.Output<string> =>
      new docker.Image(
        `${name}-${which}`,
        {
          imageName: `${args.settings.registry}/${NAMES[which]}:${imageTag(args.settings)}`,
          build: imageBuild(which, args.settings),
        },
        { parent: this },
      ).repoDigest;
    this.training = image("training");
    this.inference = image("inference");
    this.mlflow = image("mlflow");
    this.registerOutputs({
      training: this.training,
      inference: this.inference,
      mlflow: this.mlflow,
    });
  }
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
      ...(which === "mlflow" ? {} : { ACCELERATOR: settings.accelerator }),
      ...(which === "training" ? { INSTALL_FLASH_ATTN: settings.flashAttention ? "1" : "0" } : {}),
    },
  };
}
