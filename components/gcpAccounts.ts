import { IAMMember as ProjectMember } from "@pulumi/gcp/projects";
import { SecretIamMember } from "@pulumi/gcp/secretmanager";
import { Account, IAMMember as AccountMember } from "@pulumi/gcp/serviceaccount";
import { BucketIAMMember } from "@pulumi/gcp/storage";
import * as pulumi from "@pulumi/pulumi";
import type { Place } from "../workloads/gcp";
import type { AccountAccess } from "../workloads/gcpAccess";
import { databaseCondition } from "../workloads/gcpAccess";

/** Arguments of {@link GoogleAccounts}. */
export interface GoogleAccountsArgs {
  readonly place: Place;
  readonly accounts: readonly AccountAccess[];
  /** Name of the model bucket that the stack makes. */
  readonly bucket: pulumi.Input<string> | undefined;
  /** Name of the Cloud SQL instance that the stack makes. */
  readonly instance: string | undefined;
}

/** The Google service accounts of the pods, with Workload Identity and what each may do. */
export class GoogleAccounts extends pulumi.ComponentResource {
  public constructor(
    name: string,
    args: GoogleAccountsArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("llmops:index:GoogleAccounts", name, {}, opts);
    for (const access of args.accounts) this.account(`${name}-${access.role}`, access, args);
    this.registerOutputs();
  }

  private account(
    name: string,
    access: AccountAccess,
    { place, bucket, instance }: GoogleAccountsArgs,
  ): void {
    const { accountId, role } = access;
    const account = new Account(
      name,
      { accountId, displayName: `llmops ${role}` },
      { parent: this },
    );
    const { member } = account;
    new AccountMember(
      `${name}-identity`,
      {
        serviceAccountId: account.name,
        role: "roles/iam.workloadIdentityUser",
        member: access.member,
      },
      { parent: this },
    );
    if (bucket !== undefined && access.bucketRole !== undefined) {
      new BucketIAMMember(
        `${name}-bucket`,
        { bucket, role: access.bucketRole, member },
        { parent: this },
      );
    }
    for (const secretId of access.secrets) {
      new SecretIamMember(
        `${name}-${secretId}`,
        { secretId, project: place.project, role: "roles/secretmanager.secretAccessor", member },
        { parent: this },
      );
    }
    if (instance !== undefined && access.database) {
      new ProjectMember(
        `${name}-database`,
        {
          project: place.project,
          role: "roles/cloudsql.client",
          member,
          condition: databaseCondition(place, instance),
        },
        { parent: this },
      );
    }
  }
}
