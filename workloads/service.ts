import type { types } from "@pulumi/kubernetes";
import { SKIP_AWAIT } from "./pod";

/** Settings of a Service. */
export interface ServiceSettings {
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly nodePort?: number | undefined;
}

/**
 * Metadata of a Service. `pulumi up` does not wait for its pods: the wait for their Deployment does, and where that is
 * never created, waiting for a Service would take ten minutes more.
 */
export const serviceMetadata = (
  metadata: types.input.meta.v1.ObjectMeta,
): types.input.meta.v1.ObjectMeta => ({
  ...metadata,
  annotations: SKIP_AWAIT,
});

/** A Service in front of the pods of `selector`, on the port that they listen on. */
export function serviceSpec(
  { type, nodePort }: ServiceSettings,
  selector: Readonly<Record<string, string>>,
  port: number,
): types.input.core.v1.ServiceSpec {
  return {
    type,
    selector: { ...selector },
    ports: [
      {
        name: "http",
        port,
        targetPort: "http",
        protocol: "TCP",
        ...(nodePort === undefined ? {} : { nodePort }),
      },
    ],
  };
}
