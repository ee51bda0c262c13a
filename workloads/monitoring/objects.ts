import { stringify } from "yaml";
import { DCGM_PORT_NAME } from "../dcgm";
import { NAMES, STACK_LABELS } from "../names";
import type { Role } from "../names";
import type { MonitoredStack } from "./alerts";
import { alertRules } from "./alerts";
import { dashboards } from "./dashboards";
import { dashboardJson } from "./grafana";

/** A ConfigMap of monitoring. */
export interface MonitoringConfigMap {
  readonly labels: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, string>>;
}

/** An object of the Prometheus operator. */
export interface OperatorObject {
  readonly kind: "PodMonitor" | "PrometheusRule";
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: object;
}

/** What monitoring consists of, by the names of the objects. */
export interface MonitoringObjects {
  readonly configMaps: Readonly<Record<string, MonitoringConfigMap>>;
  readonly operatorObjects: Readonly<Record<string, OperatorObject>>;
}

const RULES = "llmops-alerts";

function dashboardMaps({
  namespace,
  monitoring,
}: MonitoredStack): Record<string, MonitoringConfigMap> {
  const labels = { ...STACK_LABELS, ...monitoring.dashboardLabels };
  return Object.fromEntries(
    Object.entries(dashboards(namespace)).map(([name, dashboard]) => [
      `llmops-dashboard-${name}`,
      // Grafana's sidecar keeps the files of all namespaces in one folder.
      { labels, data: { [`${dashboard.uid}.json`]: dashboardJson(dashboard) } },
    ]),
  );
}

function podMonitor(role: Role, port: string): object {
  return {
    selector: { matchLabels: { "app.kubernetes.io/component": role } },
    podMetricsEndpoints: [{ port, path: "/metrics", interval: "15s" }],
  };
}

function operatorObjects(args: MonitoredStack): Record<string, OperatorObject> {
  const labels = { ...STACK_LABELS, ...args.monitoring.labels };
  const monitor = (spec: object): OperatorObject => ({ kind: "PodMonitor", labels, spec });
  return {
    [NAMES.modelServer]: monitor(podMonitor("inference", "http")),
    ...(args.frontDoor.enabled
      ? { [NAMES.frontDoor]: monitor(podMonitor("front-door", "metrics")) }
      : {}),
    ...(args.training?.dcgmExporter === true
      ? { [NAMES.trainingJob]: monitor(podMonitor("training", DCGM_PORT_NAME)) }
      : {}),
    ...(args.monitoring.alerts
      ? { [RULES]: { kind: "PrometheusRule", labels, spec: alertRules(args) } }
      : {}),
  };
}

/** The rules as a file that a plain Prometheus loads. */
function ruleMap(args: MonitoredStack): Record<string, MonitoringConfigMap> {
  const labels = { ...STACK_LABELS, ...args.monitoring.labels };
  return { [RULES]: { labels, data: { "llmops-alerts.yaml": stringify(alertRules(args)) } } };
}

/** The objects that show a stack to Prometheus and Grafana. */
export function monitoringObjects(args: MonitoredStack): MonitoringObjects {
  const { kind, dashboards: wantsDashboards, alerts } = args.monitoring;
  return {
    configMaps: {
      ...(wantsDashboards ? dashboardMaps(args) : {}),
      ...(alerts && kind === "annotations" ? ruleMap(args) : {}),
    },
    operatorObjects: kind === "operator" ? operatorObjects(args) : {},
  };
}
