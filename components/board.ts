import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { BoardPodArgs } from "../workloads/board";
import { boardServiceSpec, boardSpec } from "../workloads/board";
import { NAMES, labels, serviceAccountName } from "../workloads/names";

/** Arguments of {@link Board}. */
export interface BoardArgs extends BoardPodArgs {
  readonly namespace: pulumi.Input<string>;
}

/** LLaMA Board: a Deployment of one pod, its Service and its service account. */
export class Board extends pulumi.ComponentResource {
  public constructor(name: string, args: BoardArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Board", name, {}, opts);
    const { namespace, settings } = args;
    const metadata = { name: NAMES.board, namespace, labels: labels("board", NAMES.board) };
    const account = new k8s.core.v1.ServiceAccount(
      name,
      {
        metadata: { ...metadata, name: serviceAccountName("board") },
        automountServiceAccountToken: false,
      },
      { parent: this },
    );
    new k8s.apps.v1.Deployment(
      name,
      { metadata, spec: boardSpec(args) },
      // The pod names its service account by a plain text, which orders nothing.
      { parent: this, dependsOn: [account] },
    );
    new k8s.core.v1.Service(name, { metadata, spec: boardServiceSpec(settings) }, { parent: this });
    this.registerOutputs();
  }
}
