import { fingerprint } from "../fingerprint";
import { NAMES } from "../names";
import type { Dashboard, Panel, Query } from "./grafana";
import type { Series } from "./metrics";
import { seriesOf } from "./metrics";
import { servingPanels } from "./servingPanels";

/** The dashboards of a stack. */
export type DashboardName = "serving" | "training" | "gpu";

/** Name of a dashboard in Grafana's addresses: always the same for a namespace. */
export function dashboardUid(name: DashboardName, namespace: string): string {
  return `llmops-${name}-${fingerprint(namespace)}`;
}

function trainingPanels(series: Series): Panel[] {
  const job = `job_name=~"${NAMES.trainingJob}-.+"`;
  const pods = `pod=~"${NAMES.trainingJob}-.+"`;
  const ofJob = (name: Parameters<Series["of"]>[0], what: string): Query => ({
    expr: series.of(name, job),
    legend: `{{job_name}} ${what}`,
  });
  return [
    {
      title: "Jobs",
      description: "Pods of each run. The loss of a run is in MLflow.",
      unit: "short",
      queries: [
        ofJob("jobActive", "active"),
        ofJob("jobSucceeded", "succeeded"),
        ofJob("jobFailedPods", "failed tries"),
      ],
    },
    {
      title: "Started",
      description: "When each run has started.",
      unit: "dateTimeAsIso",
      type: "stat",
      queries: [{ expr: `${series.of("jobStart", job)} * 1000`, legend: "{{job_name}}" }],
    },
    {
      title: "Took",
      description: "From start to success.",
      unit: "s",
      type: "stat",
      queries: [
        {
          expr: `${series.of("jobCompletion", job)} - ${series.of("jobStart", job)}`,
          legend: "{{job_name}}",
        },
      ],
    },
    {
      title: "CPU",
      description: "Cores in use.",
      unit: "short",
      queries: [
        {
          expr: `sum by (pod) (${series.rate("containerCpu", pods, 'container!=""')})`,
          legend: "{{pod}}",
        },
      ],
    },
    {
      title: "Memory",
      description: "Memory in use; at the limit the pod is killed.",
      unit: "bytes",
      queries: [
        {
          expr: `sum by (pod) (${series.of("containerMemory", pods, 'container!=""')})`,
          legend: "{{pod}}",
        },
      ],
    },
    {
      title: "Volumes",
      description: "Free part of each volume. Volumes of kind hostPath are not measured.",
      unit: "percentunit",
      queries: [
        {
          expr: `${series.of("volumeAvailable")} / ${series.of("volumeCapacity")}`,
          legend: "{{persistentvolumeclaim}}",
        },
      ],
    },
  ];
}

function gpuPanels(series: Series): Panel[] {
  const legend = "{{pod}} GPU {{gpu}}";
  const of = (name: Parameters<Series["of"]>[0]): string => series.of(name);
  return [
    {
      title: "GPU busy",
      description: "Part of the time in which anything ran.",
      unit: "percent",
      queries: [{ expr: of("gpuUtilization"), legend }],
    },
    {
      title: "GPU memory in use",
      description: "MiB; vLLM reserves its part at the start.",
      unit: "mbytes",
      queries: [{ expr: of("gpuMemoryUsed"), legend }],
    },
    {
      title: "GPU memory free",
      description: "MiB.",
      unit: "mbytes",
      queries: [{ expr: of("gpuMemoryFree"), legend }],
    },
    {
      title: "Power",
      description: "Power drawn.",
      unit: "watt",
      queries: [{ expr: of("gpuPower"), legend }],
    },
    {
      title: "Temperature",
      description: "Of the chip. Hot chips lower their clock.",
      unit: "celsius",
      queries: [{ expr: of("gpuTemperature"), legend }],
    },
    {
      title: "Clock",
      description: "Of the multiprocessors.",
      unit: "hertz",
      queries: [{ expr: `${of("gpuClock")} * 1000000`, legend }],
    },
    {
      title: "Last Xid error",
      description: "Number of the last error of the driver; 0 is none.",
      unit: "short",
      type: "stat",
      queries: [{ expr: of("gpuErrors"), legend }],
    },
  ];
}

/** The dashboards of the stack in a namespace. */
export function dashboards(namespace: string): Readonly<Record<DashboardName, Dashboard>> {
  const series = seriesOf(namespace);
  const model = {
    name: "model",
    label: "Model",
    series: series.of("requestsRunning"),
    from: "model_name",
  };
  const dashboard = (
    name: DashboardName,
    title: string,
    panels: readonly Panel[],
    variables: Dashboard["variables"] = [],
  ): Dashboard => ({
    uid: dashboardUid(name, namespace),
    title: `LLMOps ${title} (${namespace})`,
    variables,
    panels,
  });
  return {
    serving: dashboard("serving", "serving", servingPanels(series), [model]),
    training: dashboard("training", "training", trainingPanels(series)),
    gpu: dashboard("gpu", "GPUs", gpuPanels(series)),
  };
}
