import { z } from "zod";
import { plainUrl } from "./primitives";

const ratio = z.number().gt(0).lt(1);

const label = z.string().regex(/^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$/, {
  error: "a Kubernetes label value",
});

/** When an alert fires. */
const thresholds = z
  .strictObject({
    /** Waiting requests a replica, on average over a model's replicas. */
    queueLength: z.number().gt(0).default(20),
    /** Seconds until the first token, 95th percentile. */
    firstTokenSeconds: z.number().gt(0).default(10),
    /** Part of the KV cache in use. */
    kvCacheUsage: ratio.default(0.95),
    /** Part of a server's answers that are errors of the server. */
    errorRatio: ratio.default(0.05),
    /** Part of a volume that is free. */
    volumeFree: ratio.default(0.1),
  })
  .prefault({});

/** What Prometheus and Grafana are given. */
export const monitoringSchema = z
  .strictObject({
    enabled: z.boolean().default(false),
    /**
     * `annotations`: Prometheus finds the pods by their annotations `prometheus.io/*`, and alert rules
     * are a ConfigMap; `operator`: PodMonitors and a PrometheusRule of the Prometheus operator.
     */
    kind: z.enum(["annotations", "operator"]).default("annotations"),
    /** Grafana dashboards, a ConfigMap each. */
    dashboards: z.boolean().default(true),
    alerts: z.boolean().default(true),
    /** Labels that the site's Prometheus selects monitors and rules by. */
    labels: z.record(z.string(), label).default({}),
    /** Labels that the site's Grafana selects dashboards by. */
    dashboardLabels: z.record(z.string(), label).default({ grafana_dashboard: "1" }),
    /** URL of Prometheus as pods of the cluster reach it: KEDA asks it. */
    prometheusUrl: plainUrl.optional(),
    /** Base URL of Grafana: alerts link to their dashboard there. */
    grafanaUrl: plainUrl.optional(),
    /** URL of docs/monitoring.md as the site publishes it: alerts link to their runbook there. */
    runbookUrl: plainUrl.optional(),
    thresholds,
  })
  .prefault({});
