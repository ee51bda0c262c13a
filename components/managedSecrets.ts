import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { NAMES, STACK_LABELS } from "../workloads/names";
import type { ManagedSource } from "../workloads/secretManager";
import {
  EXTERNAL_SECRETS_API,
  externalSecretSpec,
  secretStoreSpec,
} from "../workloads/secretManager";

/** Arguments of {@link ManagedSecrets}. */
export interface ManagedSecretsArgs {
  readonly namespace: pulumi.Input<string>;
  readonly source: ManagedSource;
}

/**
 * Secrets from Secret Manager, which External Secrets copies into the namespace: the stack knows their versions and
 * none of their values. It reads them as a service account that no pod runs as.
 */
export class ManagedSecrets extends pulumi.ComponentResource {
  /** Name of the Secret that holds a key. */
  public readonly names: Readonly<Record<string, pulumi.Output<string>>>;

  public constructor(
    name: string,
    args: ManagedSecretsArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("llmops:index:ManagedSecrets", name, {}, opts);
    const { namespace, source } = args;
    const account = new k8s.core.v1.ServiceAccount(
      name,
      {
        metadata: {
          name: NAMES.secretReader,
          namespace,
          annotations: { "iam.gke.io/gcp-service-account": source.account },
        },
        automountServiceAccountToken: false,
      },
      { parent: this },
    );
    const store = new k8s.apiextensions.CustomResource(
      name,
      {
        apiVersion: EXTERNAL_SECRETS_API,
        kind: "SecretStore",
        metadata: { name: NAMES.secretStore, namespace, labels: STACK_LABELS },
        spec: account.metadata.name.apply((reader) => secretStoreSpec(source.project, reader)),
      },
      { parent: this },
    );
    const made = [...source.secrets].flatMap(([base, versions]) => {
      const { metadata } = new k8s.apiextensions.CustomResource(
        base,
        {
          apiVersion: EXTERNAL_SECRETS_API,
          kind: "ExternalSecret",
          metadata: { namespace, labels: STACK_LABELS },
          spec: store.metadata.name.apply((ref) => externalSecretSpec(ref, versions)),
        },
        // The Secret has the name of this object: another version makes another one, and pods roll.
        { parent: this, replaceOnChanges: ["spec"] },
      );
      return Object.keys(versions).map((key) => [key, metadata.name] as const);
    });
    this.names = Object.fromEntries(made);
    this.registerOutputs();
  }
}
