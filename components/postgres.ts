import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { NAMES, labels } from "../workloads/names";
import type { PostgresPodArgs } from "../workloads/postgres";
import { backupSpec, postgresServiceSpec, postgresSpec } from "../workloads/postgres";
import { serviceMetadata } from "../workloads/service";

/** Arguments of {@link Postgres}. */
export interface PostgresArgs extends PostgresPodArgs {
  readonly namespace: pulumi.Input<string>;
  /** Claim of the dumps; needed with `backup` in the settings. */
  readonly backupClaim: pulumi.Input<string> | undefined;
}

/**
 * Postgres in the cluster: a StatefulSet of one pod, its Service, and a CronJob that dumps the
 * database. The data is on a claim that the component is given, so nothing of it is lost with the component.
 */
export class Postgres extends pulumi.ComponentResource {
  public constructor(name: string, args: PostgresArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Postgres", name, {}, opts);
    const { namespace, backupClaim } = args;
    const { backup } = args.settings;
    const metadata = (object: string) => ({
      name: object,
      namespace,
      labels: labels("postgres", object),
    });
    new k8s.apps.v1.StatefulSet(
      name,
      { metadata: metadata(NAMES.postgres), spec: postgresSpec(args) },
      // The data is on the claim, whose settings say what becomes of it.
      { parent: this, protect: false, retainOnDelete: false },
    );
    new k8s.core.v1.Service(
      `${name}-service`,
      { metadata: serviceMetadata(metadata(NAMES.postgres)), spec: postgresServiceSpec() },
      { parent: this },
    );
    if (backup !== undefined) {
      if (backupClaim === undefined) {
        const reason = "dumps need the claim mlflow-backup-pvc";
        throw new pulumi.InputPropertyError({ propertyPath: "backupClaim", reason });
      }
      new k8s.batch.v1.CronJob(
        `${name}-backup`,
        {
          metadata: metadata(NAMES.mlflowBackup),
          spec: backupSpec({ ...args, claim: backupClaim }, backup),
        },
        { parent: this },
      );
    }
    this.registerOutputs();
  }
}
