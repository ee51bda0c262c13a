import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { ModelSettings } from "../config/models";
import type { ModelClaims } from "../workloads/modelPieces";
import {
  autoscalerSpec,
  inferenceYaml,
  modelServerSpec,
  rolloutMetadata,
  rolloutSeconds,
} from "../workloads/modelServer";
import { NAMES, PORTS, labels, modelServerName, selectorLabels } from "../workloads/names";
import type { ServedRun } from "../workloads/servedRun";
import { serviceSpec } from "../workloads/service";

/** Arguments of {@link ModelServer}. */
export interface ModelServerArgs {
  readonly namespace: pulumi.Input<string>;
  readonly settings: ModelSettings;
  readonly accelerator: "cuda" | "cpu";
  /** Image by digest. */
  readonly image: pulumi.Input<string>;
  /** Path of the model in the container. */
  readonly modelPath: pulumi.Input<string>;
  /** The training run that must be complete before the server starts. */
  readonly run?: ServedRun | undefined;
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
 * ConfigMap, and a PodDisruptionBudget where there is more than one replica to keep.
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
      { metadata: { namespace }, data: { "inference.yaml": inferenceYaml(settings) } },
      { parent: this },
    );
    new k8s.apps.v1.Deployment(
      server,
      {
        metadata: { ...metadata, ...rolloutMetadata(args.run) },
        spec: modelServerSpec({ ...args, configMap: config.metadata.name }),
      },
      { parent: this, ignoreChanges: ["spec.replicas"], customTimeouts: rolloutTimeouts(settings) },
    );
    new k8s.core.v1.Service(
      server,
      { metadata, spec: serviceSpec(settings.service, selector, PORTS.modelServer) },
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
    if (settings.replicas.min > 1) {
      new k8s.policy.v1.PodDisruptionBudget(
        server,
        { metadata, spec: { maxUnavailable: 1, selector: { matchLabels: selector } } },
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
