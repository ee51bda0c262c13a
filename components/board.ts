import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { BoardPodArgs } from "../workloads/board";
import { boardServiceSpec, boardSpec } from "../workloads/board";
import { NAMES, labels } from "../workloads/names";
import { serviceMetadata } from "../workloads/service";

/** Arguments of {@link Board}. */
export interface BoardArgs extends BoardPodArgs {
  readonly namespace: pulumi.Input<string>;
}

/** LLaMA Board: a Deployment of one pod, and its Service. */
export class Board extends pulumi.ComponentResource {
  public constructor(name: string, args: BoardArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Board", name, {}, opts);
    const { namespace, settings } = args;
    const metadata = { name: NAMES.board, namespace, labels: labels("board", NAMES.board) };
    new k8s.apps.v1.Deployment(name, { metadata, spec: boardSpec(args) }, { parent: this });
    new k8s.core.v1.Service(
      name,
      { metadata: serviceMetadata(metadata), spec: boardServiceSpec(settings) },
      { parent: this },
    );
    this.registerOutputs();
  }
}
