import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { ModelSettings } from "../config/models";
import type { Settings } from "../config/schema";
import { hasIdentity } from "../config/usedSources";
import { autoscalerSpec } from "../workloads/autoscaler";
import { TAKE_OVER, scaledObjectSpec } from "../workloads/keda";
import type { ModelClaims } from "../workloads/modelPieces";
import type { ModelServerPodArgs } from "../workloads/modelServer";
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
  readonly model: ModelSettings;
  /** Settings of the stack. */
  readonly settings: Pick<
    Settings,
    "images" | "gcp" | "namespace" | "monitoring" | "training" | "mlflow" | "tracing"
  >;
  /** Images by digest. */
  readonly images: { readonly inference: pulumi.Input<string> };
  /** The stack's training and its run, if there is one. */
  readonly trained: TrainedRun | undefined;
  readonly claims: ModelClaims;
  /** Name of the Secret with VLLM_API_KEY. */
  readonly apiKeySecret: pulumi.Input<string>;
  /** Names of the Secrets that exist, by the key read from them. */
  readonly secrets: Readonly<Record<string, pulumi.Input<string>>>;
}

/**
 * One model behind an OpenAI-compatible API: Deployment, Service, ConfigMap, a HorizontalPodAutoscaler
 * or a ScaledObject of KEDA, and a PodDisruptionBudget where there can be more than one replica.
 */
export class ModelServer extends pulumi.ComponentResource {
  public constructor(name: string, args: ModelServerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:ModelServer", name, {}, opts);
    const { model, namespace } = args;
    const server = modelServerName(model.name);
    const metadata = { name: server, namespace, labels: labels("inference", model.name) };
    const selector = selectorLabels("inference", model.name);
    const config = new k8s.core.v1.ConfigMap(
      server,
      {
        metadata: { namespace },
        data: { [CONFIG_FILE]: SERVERS[model.server].yaml(model) },
      },
      { parent: this },
    );
    new k8s.apps.v1.Deployment(
      server,
      {
        metadata: { ...metadata, ...rolloutMetadata({ ...args, settings: model }) },
        spec: modelServerSpec(podArgs(args, config.metadata.name)),
      },
      { parent: this, ignoreChanges: ["spec.replicas"], customTimeouts: rolloutTimeouts(model) },
    );
    new k8s.core.v1.Service(
      server,
      {
        metadata: serviceMetadata(metadata),
        spec: serviceSpec(model.service, selector, PORTS.modelServer),
      },
      { parent: this },
    );
    this.autoscaler(args, metadata);
    if (model.replicas.max > 1) {
      new k8s.policy.v1.PodDisruptionBudget(
        server,
        { metadata, spec: disruptionBudgetSpec(model) },
        { parent: this },
      );
    }
    this.registerOutputs();
  }

  private autoscaler({ model, settings }: ModelServerArgs, metadata: Metadata): void {
    const name = `${NAMES.autoscaler}-${model.name}`;
    if (model.autoscaling.kind === "hpa") {
      const inputs = { metadata: { ...metadata, name }, spec: autoscalerSpec(model) };
      new k8s.autoscaling.v2.HorizontalPodAutoscaler(name, inputs, { parent: this });
      return;
    }
    const { namespace, monitoring } = settings;
    const { prometheusUrl } = monitoring;
    if (prometheusUrl === undefined) {
      const propertyPath = "settings.monitoring.prometheusUrl";
      throw new pulumi.InputPropertyError({ propertyPath, reason: "KEDA asks Prometheus" });
    }
    new k8s.apiextensions.CustomResource(
      name,
      {
        apiVersion: "keda.sh/v1alpha1",
        kind: "ScaledObject",
        metadata: { ...metadata, name, annotations: TAKE_OVER },
        spec: scaledObjectSpec(model, { namespace, prometheusUrl }),
      },
      { parent: this },
    );
  }
}

/** Metadata that all objects of a server share. */
interface Metadata {
  readonly name: string;
  readonly namespace: pulumi.Input<string>;
  readonly labels: Readonly<Record<string, string>>;
}

function podArgs(
  { model, settings, images, ...args }: ModelServerArgs,
  configMap: pulumi.Input<string>,
): ModelServerPodArgs {
  const { accelerator, pullSecrets } = settings.images;
  return {
    ...args,
    settings: model,
    stack: settings,
    accelerator,
    pullSecrets,
    image: images.inference,
    identity: hasIdentity(settings, "inference"),
    configMap,
  };
}

function rolloutTimeouts(settings: ModelSettings): pulumi.CustomTimeouts {
  const timeout = `${String(rolloutSeconds(settings))}s`;
  return { create: timeout, update: timeout };
}
