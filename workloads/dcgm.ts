import type { types } from "@pulumi/kubernetes";
import { PORTS } from "./names";
import { containerDefaults, plainEnv, resourceRequirements } from "./pod";

/** Name of the port that dcgm-exporter is scraped on. */
export const DCGM_PORT_NAME = "gpu-metrics";

/** What a pod needs to report on its GPUs. */
export interface DcgmPieces {
  /** Annotations by which Prometheus finds the pod. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly initContainers: types.input.core.v1.Container[];
}

/**
 * dcgm-exporter as a native sidecar: it starts before the trainer and is ended with it, so the Job
 * still completes. The pod's own labels tell whose GPUs they are: asking the kubelet would need a
 * folder of the node, which the namespace does not allow.
 *
 * @param image - undefined where the stack wants no exporter
 */
export function dcgmPieces(image: string | undefined): DcgmPieces {
  if (image === undefined) return { annotations: {}, initContainers: [] };
  return {
    annotations: {
      "prometheus.io/scrape": "true",
      "prometheus.io/port": String(PORTS.dcgmExporter),
      "prometheus.io/path": "/metrics",
    },
    initContainers: [
      {
        ...containerDefaults(),
        name: "dcgm-exporter",
        image,
        restartPolicy: "Always",
        env: plainEnv({
          DCGM_EXPORTER_LISTEN: `:${String(PORTS.dcgmExporter)}`,
          DCGM_EXPORTER_KUBERNETES: "false",
          // Without a GPU of its own in its limits, the container sees those of the node.
          NVIDIA_VISIBLE_DEVICES: "all",
        }),
        ports: [{ name: DCGM_PORT_NAME, containerPort: PORTS.dcgmExporter }],
        resources: resourceRequirements({ cpu: "100m", memory: "512Mi", gpu: 0 }, "cuda"),
      },
    ],
  };
}
