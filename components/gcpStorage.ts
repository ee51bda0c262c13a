import { Repository } from "@pulumi/gcp/artifactregistry";
import { Bucket } from "@pulumi/gcp/storage";
import * as pulumi from "@pulumi/pulumi";
import type { BucketSettings, RegistrySettings } from "../config/gcp";
import type { Place } from "../workloads/gcp";
import { bucketArgs, repositoryArgs } from "../workloads/gcp";

/** Arguments of {@link GoogleStorage}. */
export interface GoogleStorageArgs {
  readonly place: Place;
  readonly registry: RegistrySettings | undefined;
  readonly bucket: BucketSettings | undefined;
}

/** Where images and models are kept: an Artifact Registry repository and a bucket. */
export class GoogleStorage extends pulumi.ComponentResource {
  /** Name of the repository, if the stack makes one. */
  public readonly repository: pulumi.Output<string> | undefined;
  /** Name of the bucket, if the stack makes one. */
  public readonly bucket: pulumi.Output<string> | undefined;

  public constructor(
    name: string,
    args: GoogleStorageArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("llmops:index:GoogleStorage", name, {}, opts);
    const { place, registry, bucket } = args;
    const kept = (protect: boolean): pulumi.CustomResourceOptions => ({
      parent: this,
      protect,
      retainOnDelete: protect,
    });
    this.repository =
      registry &&
      new Repository(`${name}-images`, repositoryArgs(registry, place), kept(registry.protect))
        .name;
    this.bucket =
      bucket && new Bucket(`${name}-models`, bucketArgs(bucket, place), kept(bucket.protect)).name;
    this.registerOutputs({ repository: this.repository, bucket: this.bucket });
  }
}
