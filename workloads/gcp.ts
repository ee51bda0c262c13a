import type { RepositoryArgs } from "@pulumi/gcp/artifactregistry";
import type { DatabaseInstanceArgs } from "@pulumi/gcp/sql";
import type { BucketArgs } from "@pulumi/gcp/storage";
import type { Input } from "@pulumi/pulumi";
import type { BucketSettings, CloudSqlSettings, RegistrySettings } from "../config/gcp";
import type { Settings } from "../config/schema";

/** Where on Google Cloud a stack makes things. */
export interface Place {
  readonly project: string;
  readonly region: string;
}

/** Where a stack makes things on Google Cloud, or undefined if it makes none. */
export function googlePlace({ gcp }: Pick<Settings, "gcp">): Place | undefined {
  if (gcp?.project === undefined || gcp.region === undefined) return undefined;
  const { createServiceAccounts, artifactRegistry, modelBucket, gke, cloudSql } = gcp;
  const makes = [artifactRegistry, modelBucket, gke, cloudSql].some((part) => part !== undefined);
  return makes || createServiceAccounts ? { project: gcp.project, region: gcp.region } : undefined;
}

/** The arguments of the image registry. Tagged images are never removed by its cleanup. */
export function repositoryArgs(
  { repository, keepVersions, untaggedDays, immutableTags }: RegistrySettings,
  { region }: Place,
): RepositoryArgs {
  return {
    repositoryId: repository,
    location: region,
    format: "DOCKER",
    description: "Images of llmops",
    dockerConfig: { immutableTags },
    cleanupPolicyDryRun: false,
    cleanupPolicies: [
      { id: "keep-newest", action: "KEEP", mostRecentVersions: { keepCount: keepVersions } },
      {
        id: "delete-untagged",
        action: "DELETE",
        condition: { tagState: "UNTAGGED", olderThan: `${String(untaggedDays * 86_400)}s` },
      },
    ],
  };
}

/** The arguments of the model bucket: nobody outside of IAM gets in, and mistakes can be undone. */
export function bucketArgs(
  { name, versioning, noncurrentDays, softDeleteDays, kmsKey }: BucketSettings,
  { region }: Place,
): BucketArgs {
  const stale = {
    action: { type: "Delete" },
    condition: { daysSinceNoncurrentTime: noncurrentDays, withState: "ARCHIVED" },
  };
  const unfinished = { action: { type: "AbortIncompleteMultipartUpload" }, condition: { age: 7 } };
  return {
    name,
    location: region,
    storageClass: "STANDARD",
    uniformBucketLevelAccess: true,
    publicAccessPrevention: "enforced",
    forceDestroy: false,
    versioning: { enabled: versioning },
    lifecycleRules: versioning ? [stale, unfinished] : [unfinished],
    softDeletePolicy: { retentionDurationSeconds: softDeleteDays * 86_400 },
    ...(kmsKey === undefined ? {} : { encryption: { defaultKmsKeyName: kmsKey } }),
  };
}

/** The arguments of MLflow's Postgres: a private address only, encrypted, with restore to a moment. */
export function databaseArgs(
  { name, tier, highAvailability, backups, protect }: CloudSqlSettings,
  { region }: Place,
  network: Input<string>,
): DatabaseInstanceArgs {
  return {
    name,
    region,
    databaseVersion: "POSTGRES_17",
    deletionProtection: protect,
    settings: {
      tier,
      edition: "ENTERPRISE",
      availabilityType: highAvailability ? "REGIONAL" : "ZONAL",
      diskType: "PD_SSD",
      diskAutoresize: true,
      deletionProtectionEnabled: protect,
      ipConfiguration: {
        ipv4Enabled: false,
        privateNetwork: network,
        sslMode: "ENCRYPTED_ONLY",
      },
      backupConfiguration: {
        enabled: true,
        startTime: "02:00",
        pointInTimeRecoveryEnabled: true,
        transactionLogRetentionDays: 7,
        backupRetentionSettings: { retainedBackups: backups, retentionUnit: "COUNT" },
      },
    },
  };
}

/** The pool whose identities the service accounts of a cluster have. */
export function workloadPool({ project }: Place): string {
  return `${project}.svc.id.goog`;
}
