import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/schema";
import { serviceAccountAnnotations } from "../workloads/gcs";
import { rolesOf, serviceAccountName } from "../workloads/names";
import type { NetworkSettings } from "../workloads/network";
import { networkPolicies } from "../workloads/network";
import { adoption, keepsNamespace } from "../workloads/storage";

/** Arguments of {@link PlatformNamespace}: who may talk to whom follows from the models. */
export type PlatformNamespaceArgs = NetworkSettings &
  Pick<Settings, "namespace" | "adoptNamespace" | "storage">;

/**
 * The namespace, where only pods of the Pod Security level `restricted` start, a service account
 * for each role, and NetworkPolicies that let through nothing but what is named. The namespace is
 * protected as long as one of its claims is.
 */
export class PlatformNamespace extends pulumi.ComponentResource {
  /** Name of the namespace, once it exists. */
  public readonly namespace: pulumi.Output<string>;

  public constructor(
    name: string,
    args: PlatformNamespaceArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("llmops:index:PlatformNamespace", name, {}, opts);
    const protect = keepsNamespace(args.storage);
    const created = new k8s.core.v1.Namespace(
      name,
      { metadata: { name: args.namespace, labels: podSecurityLabels } },
      {
        parent: this,
        protect,
        retainOnDelete: protect,
        ...(args.adoptNamespace ? adoption(args.namespace) : {}),
      },
    );
    this.namespace = created.metadata.name;
    for (const role of rolesOf(args)) {
      new k8s.core.v1.ServiceAccount(
        `${name}-${role}`,
        {
          metadata: {
            name: serviceAccountName(role),
            namespace: this.namespace,
            ...annotated(serviceAccountAnnotations(role, args)),
          },
          automountServiceAccountToken: false,
        },
        { parent: this },
      );
    }
    for (const [policy, spec] of Object.entries(networkPolicies(args))) {
      new k8s.networking.v1.NetworkPolicy(
        `${name}-${policy}`,
        { metadata: { name: policy, namespace: this.namespace }, spec },
        { parent: this },
      );
    }
    this.registerOutputs({ namespace: this.namespace });
  }
}

function annotated(annotations: Record<string, string>): { annotations?: Record<string, string> } {
  return Object.keys(annotations).length === 0 ? {} : { annotations };
}

const podSecurityLabels = {
  "pod-security.kubernetes.io/enforce": "restricted",
  "pod-security.kubernetes.io/warn": "restricted",
  "app.kubernetes.io/part-of": "llmops",
};
