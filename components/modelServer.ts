import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { ModelSettings } from "../config/models";
import { autoscalerSpec } from "../workloads/autoscaler";
import type { ModelClaims } from "../workloads/modelPieces";
import {
  disruptionBudgetSpec,
  modelServerSpec,
  rolloutMetadata,
  rolloutSeconds,
} from "../workloads/modelServer";
import { NAMES, PORTS, labels, modelServerName, selectorLabels } from "../workloads/names";
import type { TrainedRun } from "../workloads/servedRun";
import { CONFIG_FILE, SERVERS } from "../workloads/servers";
import { serviceMetadata, serviceSpec } from "../workloads/service";

/** Arguments of {@link ModelServer}. */
export interface ModelServerArgs {
  readonly namespace: pulumi.Input<string>;
  readonly settings: ModelSettings;
  readonly accelerator: "cuda" | "cpu";
  /** Image by digest. */
  readonly image: pulumi.Input<string>;
  /** The stack's training and its run, if there is one. */
  readonly trained: TrainedRun | undefined;
  readonly claims: ModelClaims;
  /** Name of the Secret with VLLM_API_KEY. */
  readonly apiKeySecret: pulumi.Input<string>;
  /** Names of the Secrets that exist, by the key read from them. */
  readonly secrets: Readonly<Record<string, pulumi.Input<string>>>;
  /** Whether the pod acts as a Google service account. */
  readonly identity: boolean;
  readonly pullSecrets: readonly string[];
}

/**
 * One model behind an OpenAI-compatible API: Deployment, Service, HorizontalPodAutoscaler,
 * ConfigMap, and a PodDisruptionBudget where there can be more than one replica.
 */
export class ModelServer extends pulumi.ComponentResource {
  public constructor(name: string, args: ModelServerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:ModelServer", name, {}, opts);
    const { settings, namespace } = args;
    const server = modelServerName(settings.name);
    const metadata = { name: server, namespace, labels: labels("inference", settings.name) };
    const selector = selectorLabels("inference", settings.name);
    const config = new k8s.core.v1.ConfigMap(
      server,
      {
        metadata: { namespace },
        data: { [CONFIG_FILE]: SERVERS[settings.server].yaml(settings) },
      },
      { parent: this },
    );
    new k8s.apps.v1.Deployment(
      server,
      {
        metadata: { ...metadata, ...rolloutMetadata(args) },
        spec: modelServerSpec({ ...args, configMap: config.metadata.name }),
      },
      { parent: this, ignoreChanges: ["spec.replicas"], customTimeouts: rolloutTimeouts(settings) },
    );
    new k8s.core.v1.Service(
      server,
      {
        metadata: serviceMetadata(metadata),
        spec: serviceSpec(settings.service, selector, PORTS.modelServer),
      },
      { parent: this },
    );
    new k8s.autoscaling.v2.HorizontalPodAutoscaler(
      `${NAMES.autoscaler}-${settings.name}`,
      {
        metadata: { ...metadata, name: `${NAMES.autoscaler}-${settings.name}` },
        spec: autoscalerSpec(settings),
      },
      { parent: this },
    );
    if (settings.replicas.max > 1) {
      new k8s.policy.v1.PodDisruptionBudget(
        server,
        { metadata, spec: disruptionBudgetSpec(settings) },
        { parent: this },
      );
    }
    this.registerOutputs();
  }
}

function rolloutTimeouts(settings: ModelSettings): pulumi.CustomTimeouts {
  const timeout = `${String(rolloutSeconds(settings))}s`;
  return { create: timeout, update: timeout };
}
