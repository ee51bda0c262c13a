import type { types } from "@pulumi/kubernetes";

/** Settings of a Service. */
export interface ServiceSettings {
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly nodePort?: number | undefined;
}

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
