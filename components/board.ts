import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/schema";
import { boardServiceSpec, boardSpec } from "../workloads/board";
import type { ModelClaims } from "../workloads/modelPieces";
import { NAMES, labels } from "../workloads/names";
import type { SecretNames } from "../workloads/pod";
import { serviceMetadata } from "../workloads/service";

/** Arguments of {@link Board}. */
export interface BoardArgs {
  readonly namespace: pulumi.Input<string>;
  readonly settings: Pick<Settings, "board" | "images">;
  /** Images by digest. */
  readonly images: { readonly training: pulumi.Input<string> };
  /** Names of the claims; `training-data-pvc` if the stack has one. */
  readonly claims: ModelClaims & { readonly trainingData: pulumi.Input<string> | undefined };
  readonly secrets: SecretNames;
}

/** LLaMA Board: a Deployment of one pod, and its Service. */
export class Board extends pulumi.ComponentResource {
  public constructor(name: string, args: BoardArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Board", name, {}, opts);
    const { namespace, images, claims, secrets } = args;
    const {
      board: settings,
      images: { accelerator, pullSecrets },
    } = args.settings;
    const metadata = { name: NAMES.board, namespace, labels: labels("board", NAMES.board) };
    const spec = boardSpec({
      settings,
      accelerator,
      pullSecrets,
      image: images.training,
      claims,
      dataClaim: claims.trainingData,
      secrets,
    });
    new k8s.apps.v1.Deployment(name, { metadata, spec }, { parent: this });
    new k8s.core.v1.Service(
      name,
      { metadata: serviceMetadata(metadata), spec: boardServiceSpec(settings) },
      { parent: this },
    );
    this.registerOutputs();
  }
}
