import type { Settings } from "../../config/schema";
import { NAMES } from "../names";
import type { DashboardName } from "./dashboards";
import { dashboardUid } from "./dashboards";
import type { Series } from "./metrics";
import { seriesOf } from "./metrics";

/** Settings that alerts are made of. */
export type MonitoredStack = Pick<Settings, "namespace" | "monitoring" | "training" | "frontDoor">;

/** An alert rule as Prometheus reads it. */
export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  /** How long the expression must hold. */
  readonly for: string;
  readonly labels: { readonly severity: "critical" | "warning" };
  readonly annotations: Readonly<Record<string, string>>;
}

/** A file of rules as Prometheus reads it, and the `spec` of a PrometheusRule. */
export interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly AlertRule[] }[];
}

interface Alert {
  readonly name: string;
  readonly expr: string;
  readonly minutes: number;
  readonly severity: "critical" | "warning";
  /** One sentence; a template of Prometheus. */
  readonly summary: string;
  /** Where it is seen. */
  readonly dashboard: DashboardName;
}

const SERVERS = `${NAMES.modelServer}-.+`;

/** A number as `summary` shows it: with up to three significant digits. */
const VALUE = '{{ $value | printf "%.3g" }}';

function serving(series: Series, { thresholds }: Settings["monitoring"]): Alert[] {
  const up = series.of("up", `pod=~"${SERVERS}"`);
  const deployment = `deployment=~"${SERVERS}"`;
  const model = (expr: string): string => `avg by (namespace, model_name) (${expr})`;
  const errors = series.rate("httpRequests", 'status="5xx"');
  return [
    {
      name: "LlmopsModelServerDown",
      // A server that is loading its model has not answered yet, and is not down.
      expr: `${up} == 0 and max_over_time(${up}[1h]) == 1`,
      minutes: 5,
      severity: "critical",
      summary: "Model server {{ $labels.pod }} has stopped answering.",
      dashboard: "serving",
    },
    {
      name: "LlmopsModelNotServed",
      expr: `${series.of("replicasAvailable", deployment)} == 0 and ${series.of("replicasWanted", deployment)} > 0`,
      minutes: 5,
      severity: "critical",
      summary: "No replica of {{ $labels.deployment }} is ready.",
      dashboard: "serving",
    },
    {
      name: "LlmopsModelQueueLong",
      expr: `${model(series.of("requestsWaiting"))} > ${String(thresholds.queueLength)}`,
      minutes: 10,
      severity: "warning",
      summary: `${VALUE} requests a replica wait for model {{ $labels.model_name }}.`,
      dashboard: "serving",
    },
    {
      name: "LlmopsModelFirstTokenSlow",
      expr: `${series.quantile(0.95, "timeToFirstToken", ["namespace", "model_name"])} > ${String(thresholds.firstTokenSeconds)}`,
      minutes: 10,
      severity: "warning",
      summary: `One request in twenty to model {{ $labels.model_name }} waits ${VALUE} s for its first token.`,
      dashboard: "serving",
    },
    {
      name: "LlmopsModelCacheFull",
      expr: `${model(series.of("kvCacheUsage"))} > ${String(thresholds.kvCacheUsage)}`,
      minutes: 10,
      severity: "warning",
      summary:
        "The KV cache of model {{ $labels.model_name }} is {{ $value | humanizePercentage }} full.",
      dashboard: "serving",
    },
    {
      name: "LlmopsModelErrors",
      expr: `sum by (namespace, pod) (${errors}) / sum by (namespace, pod) (${series.rate("httpRequests")}) > ${String(thresholds.errorRatio)}`,
      minutes: 5,
      severity: "critical",
      summary: "{{ $value | humanizePercentage }} of the answers of {{ $labels.pod }} are errors.",
      dashboard: "serving",
    },
  ];
}

function platform(series: Series, { thresholds }: Settings["monitoring"]): Alert[] {
  const mlflow = `deployment="${NAMES.mlflow}"`;
  const free = `${series.of("volumeAvailable")} / ${series.of("volumeCapacity")}`;
  return [
    {
      name: "LlmopsMlflowDown",
      expr: `${series.of("replicasAvailable", mlflow)} == 0 and ${series.of("replicasWanted", mlflow)} > 0`,
      minutes: 5,
      severity: "warning",
      summary: "MLflow is not ready; runs go on and report to it later.",
      dashboard: "training",
    },
    {
      name: "LlmopsVolumeNearlyFull",
      expr: `${free} < ${String(thresholds.volumeFree)}`,
      minutes: 15,
      severity: "warning",
      summary:
        "Volume {{ $labels.persistentvolumeclaim }} has {{ $value | humanizePercentage }} of its space left.",
      dashboard: "training",
    },
  ];
}

function training(series: Series): Alert[] {
  const failed = series.of("jobFailed", `job_name=~"${NAMES.trainingJob}-.+"`, 'condition="true"');
  return [
    {
      name: "LlmopsTrainingFailed",
      expr: `${failed} == 1`,
      minutes: 0,
      severity: "critical",
      summary: "Training Job {{ $labels.job_name }} has failed.",
      dashboard: "training",
    },
  ];
}

function ruleOf(alert: Alert, { namespace, monitoring }: MonitoredStack): AlertRule {
  const { grafanaUrl, runbookUrl = "docs/monitoring.md" } = monitoring;
  const uid = dashboardUid(alert.dashboard, namespace);
  return {
    alert: alert.name,
    expr: alert.expr,
    for: `${String(alert.minutes)}m`,
    labels: { severity: alert.severity },
    annotations: {
      summary: alert.summary,
      runbook_url: `${runbookUrl}#${alert.name.toLowerCase()}`,
      ...(grafanaUrl === undefined || !monitoring.dashboards
        ? {}
        : { dashboard_url: `${grafanaUrl.replace(/\/+$/, "")}/d/${uid}` }),
    },
  };
}

/** The alert rules of a stack. They watch its own namespace only. */
export function alertRules(settings: MonitoredStack): RuleFile {
  const { namespace, monitoring } = settings;
  const series = seriesOf(namespace);
  const alerts = [
    ...serving(series, monitoring),
    ...(settings.training === undefined ? [] : training(series)),
    ...platform(series, monitoring),
  ];
  const rules = alerts.map((alert) => ruleOf(alert, settings));
  return { groups: [{ name: `llmops-${namespace}`, rules }] };
}
