import { z } from "zod";
import { cidr, plainUrl } from "./primitives";

/** Part of the requests that is traced, unless the client says so itself by `traceparent`. */
const ratio = z.number().min(0.000001).max(1).default(0.1);

/** Where the spans of requests go. Left out: nothing is traced. */
export const tracingSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    /** This stack's own MLflow. */
    kind: z.literal("mlflow"),
    /** Number of the experiment that shows them. @default "0": MLflow's own, called Default */
    experimentId: z
      .string()
      .regex(/^[0-9]+$/, { error: 'the number of an experiment, as text: "0"' })
      .default("0"),
    ratio,
  }),
  z.strictObject({
    /** A collector that takes OTLP over HTTP, as protobuf. Its headers are the secret OTLP_HEADERS. */
    kind: z.literal("otlp"),
    /** URL of the traces, such as `http://collector.observability.svc:4318/v1/traces`. */
    endpoint: plainUrl,
    /** Address range of an endpoint that is no Service of the cluster. @default the namespace in its name */
    cidr: cidr.optional(),
    ratio,
  }),
]);

export type TracingSettings = z.infer<typeof tracingSchema>;

/** The namespace of a Service that a URL names as `<name>.<namespace>.svc`; undefined for other hosts. */
export function serviceNamespace(url: string): string | undefined {
  return /^[a-z0-9-]+\.([a-z0-9-]+)\.svc(\.cluster\.local)?$/.exec(new URL(url).hostname)?.[1];
}
