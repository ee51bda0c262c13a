import { Database, DatabaseInstance, User } from "@pulumi/gcp/sql";
import * as pulumi from "@pulumi/pulumi";
import type { CloudSqlSettings } from "../config/gcp";
import type { Place } from "../workloads/gcp";
import { databaseArgs } from "../workloads/gcp";

/** Arguments of {@link MlflowDatabase}. */
export interface MlflowDatabaseArgs {
  readonly place: Place;
  readonly settings: CloudSqlSettings;
  /** Id of the network that reaches the instance. */
  readonly network: pulumi.Input<string>;
  /** Password of the user. */
  readonly password: pulumi.Input<string>;
}

/** Postgres for MLflow as a Cloud SQL instance, with its database and user. */
export class MlflowDatabase extends pulumi.ComponentResource {
  public constructor(
    name: string,
    args: MlflowDatabaseArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("llmops:index:MlflowDatabase", name, {}, opts);
    const { place, settings, network, password } = args;
    const { database, protect } = settings;
    const kept = { parent: this, protect, retainOnDelete: protect };
    const instance = new DatabaseInstance(
      `${name}-instance`,
      databaseArgs(settings, place, network),
      kept,
    ).name;
    new Database(`${name}-database`, { name: database, instance }, kept);
    // Postgres does not drop a role that owns tables; it goes with its instance.
    new User(
      `${name}-user`,
      { name: database, instance, password, deletionPolicy: "ABANDON" },
      kept,
    );
    this.registerOutputs();
  }
}
