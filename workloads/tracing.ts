import type { types } from "@pulumi/kubernetes";
import type { Settings } from "../config/schema";
import { trackingUri } from "./mlflow";
import { modelServerName } from "./names";
import type { SecretNames } from "./pod";
import { plainEnv, secretEnvs } from "./pod";

/** Where spans are sent, and of how many requests. */
export interface TraceTarget {
  /** URL that takes OTLP over HTTP, as protobuf. */
  readonly url: string;
  /** Headers that are no secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** Key of the secret with more headers, as `name=value,name=value`; undefined where none may be sent. */
  readonly secretKey: "OTLP_HEADERS" | undefined;
  /** Part of the requests that is traced, up to 1. */
  readonly ratio: number;
}

/** Where the spans of a stack go; undefined where it traces nothing. */
export function traceTarget({
  tracing,
  namespace,
}: Pick<Settings, "tracing" | "namespace">): TraceTarget | undefined {
  switch (tracing?.kind) {
    case undefined:
      return undefined;
    case "mlflow":
      return {
        url: `${trackingUri(namespace)}/v1/traces`,
        headers: { "x-mlflow-experiment-id": tracing.experimentId },
        secretKey: undefined,
        ratio: tracing.ratio,
      };
    case "otlp":
      return {
        url: tracing.endpoint,
        headers: {},
        secretKey: "OTLP_HEADERS",
        ratio: tracing.ratio,
      };
  }
}

/** Arguments of `vllm serve` that make it send a span for each request. */
export function traceArgs(target: TraceTarget | undefined): string[] {
  return target === undefined ? [] : ["--otlp-traces-endpoint", target.url];
}

const HEADERS = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";

/** Environment of a server of a model that OpenTelemetry's exporter and sampler read. */
export function traceEnv(
  target: TraceTarget | undefined,
  { model, namespace, secrets }: { model: string; namespace: string; secrets: SecretNames },
): types.input.core.v1.EnvVar[] {
  if (target === undefined) return [];
  const plain = Object.entries(target.headers).map(([name, value]) => `${name}=${value}`);
  const secret = target.secretKey === undefined ? [] : secretEnvs([target.secretKey], secrets);
  return [
    { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    ...plainEnv({
      OTEL_SERVICE_NAME: modelServerName(model),
      OTEL_RESOURCE_ATTRIBUTES: `service.namespace=${namespace},service.instance.id=$(POD_NAME)`,
      // A request that the front door, or the client, has drawn for is not drawn for again.
      OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: String(target.ratio),
      OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
      // Seconds. What is left at the end of a pod must not outlive its grace period.
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "5",
      ...(plain.length > 0 ? { [HEADERS]: plain.join(",") } : {}),
    }),
    ...secret.map((each) => ({ ...each, name: HEADERS })),
  ];
}
