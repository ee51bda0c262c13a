import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Settings } from "../config/schema";
import { apiKeyFilter } from "../workloads/envoyConfig";
import { traceHeadersFilter } from "../workloads/envoyTracing";
import {
  FRONT_DOOR_SELECTOR,
  KEY_FILE,
  TRACE_HEADERS_FILE,
  frontDoorConfig,
  frontDoorSpec,
  ingressSpec,
  modelPodsSpec,
} from "../workloads/frontDoor";
import { NAMES, PORTS, labels, modelPodsName } from "../workloads/names";
import { serviceMetadata, serviceSpec } from "../workloads/service";
import { traceTarget } from "../workloads/tracing";

/** Arguments of {@link FrontDoor}. */
export interface FrontDoorArgs {
  readonly namespace: pulumi.Input<string>;
  /** Its own settings, the models that it leads to, the namespace that their names lie in, and the images'. */
  readonly settings: Pick<Settings, "frontDoor" | "models" | "namespace" | "images" | "tracing">;
  /** Image by digest. */
  readonly image: pulumi.Input<string>;
  /** The key that clients send. */
  readonly apiKey: pulumi.Output<string>;
  /** Headers that a collector of spans wants, if there are any. */
  readonly traceHeaders: pulumi.Output<string> | undefined;
}

/**
 * One OpenAI-compatible address for all models: Envoy as a Deployment and a Service, with its
 * configuration and the API key. Both have a name by content, so that a change rolls the pods.
 */
export class FrontDoor extends pulumi.ComponentResource {
  public constructor(name: string, args: FrontDoorArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:FrontDoor", name, {}, opts);
    const { namespace, settings, image } = args;
    const { pullSecrets } = settings.images;
    const { replicas, service, ingress } = settings.frontDoor;
    const metadata = {
      name: NAMES.frontDoor,
      namespace,
      labels: labels("front-door", NAMES.frontDoor),
    };
    const child = { parent: this };
    const traceHeaders = traceHeadersOf(args);
    const data = frontDoorConfig(settings, traceHeaders !== undefined);
    const config = { metadata: { namespace }, data };
    const configMap = new k8s.core.v1.ConfigMap(NAMES.frontDoor, config, child).metadata.name;
    const keySecret = this.keySecret(args, traceHeaders);
    const pod = { settings: settings.frontDoor, image, pullSecrets, configMap, keySecret };
    new k8s.apps.v1.Deployment(NAMES.frontDoor, { metadata, spec: frontDoorSpec(pod) }, child);
    new k8s.core.v1.Service(
      NAMES.frontDoor,
      {
        metadata: serviceMetadata(metadata),
        spec: serviceSpec(service, FRONT_DOOR_SELECTOR, PORTS.frontDoor),
      },
      child,
    );
    if (replicas > 1) {
      const budget = { maxUnavailable: 1, selector: { matchLabels: FRONT_DOOR_SELECTOR } };
      new k8s.policy.v1.PodDisruptionBudget(NAMES.frontDoor, { metadata, spec: budget }, child);
    }
    if (ingress !== undefined) {
      const annotated = { ...metadata, annotations: ingress.annotations };
      const inputs = { metadata: annotated, spec: ingressSpec(ingress) };
      new k8s.networking.v1.Ingress(NAMES.frontDoor, inputs, child);
    }
    this.modelPods(args);
    this.registerOutputs();
  }

  private keySecret(
    { namespace, apiKey }: FrontDoorArgs,
    traceHeaders: pulumi.Output<string> | undefined,
  ): pulumi.Output<string> {
    return new k8s.core.v1.Secret(
      `${NAMES.frontDoor}-key`,
      {
        metadata: { namespace },
        type: "Opaque",
        stringData: {
          [KEY_FILE]: apiKey.apply(apiKeyFilter),
          ...(traceHeaders && { [TRACE_HEADERS_FILE]: traceHeaders.apply(traceHeadersFilter) }),
        },
      },
      { parent: this },
    ).metadata.name;
  }

  private modelPods({ namespace, settings }: FrontDoorArgs): void {
    for (const { name } of settings.models) {
      const metadata = { name: modelPodsName(name), namespace, labels: labels("inference", name) };
      new k8s.core.v1.Service(
        metadata.name,
        { metadata: serviceMetadata(metadata), spec: modelPodsSpec(name) },
        { parent: this },
      );
    }
  }
}

/** The headers of spans, where they go to somebody who may have them. */
function traceHeadersOf({
  settings,
  traceHeaders,
}: FrontDoorArgs): pulumi.Output<string> | undefined {
  return traceTarget(settings)?.secretKey === undefined ? undefined : traceHeaders;
}
