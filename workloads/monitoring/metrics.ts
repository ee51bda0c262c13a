/** What exports a metric. */
type Source =
  /** The model servers. */
  | "vllm"
  /** Prometheus itself, of every target. */
  | "prometheus"
  /** The site's kube-state-metrics. */
  | "kube-state-metrics"
  /** The kubelets. */
  | "kubelet"
  /** NVIDIA's dcgm-exporter: beside the trainer, or the site's own. */
  | "dcgm-exporter";

interface Metric {
  /** Name as it is exported; a histogram's without `_bucket`, `_sum`, `_count`. */
  readonly name: string;
  readonly kind: "gauge" | "counter" | "histogram";
  readonly source: Source;
}

/** A counter or histogram starts at zero whenever its server starts; a gauge is what is now. */
const metric = <K extends Metric["kind"], S extends Source>(kind: K, source: S, name: string) => ({
  name,
  kind,
  source,
});

/** Every metric that a dashboard or an alert reads. Nothing else may be read: a test looks. */
export const METRICS = {
  up: metric("gauge", "prometheus", "up"),

  requestsRunning: metric("gauge", "vllm", "vllm:num_requests_running"),
  requestsWaiting: metric("gauge", "vllm", "vllm:num_requests_waiting"),
  kvCacheUsage: metric("gauge", "vllm", "vllm:kv_cache_usage_perc"),
  preemptions: metric("counter", "vllm", "vllm:num_preemptions_total"),
  promptTokens: metric("counter", "vllm", "vllm:prompt_tokens_total"),
  generationTokens: metric("counter", "vllm", "vllm:generation_tokens_total"),
  prefixCacheQueries: metric("counter", "vllm", "vllm:prefix_cache_queries_total"),
  prefixCacheHits: metric("counter", "vllm", "vllm:prefix_cache_hits_total"),
  requestSuccess: metric("counter", "vllm", "vllm:request_success_total"),
  timeToFirstToken: metric("histogram", "vllm", "vllm:time_to_first_token_seconds"),
  interTokenLatency: metric("histogram", "vllm", "vllm:inter_token_latency_seconds"),
  requestLatency: metric("histogram", "vllm", "vllm:e2e_request_latency_seconds"),
  queueTime: metric("histogram", "vllm", "vllm:request_queue_time_seconds"),
  httpRequests: metric("counter", "vllm", "http_requests_total"),

  replicasAvailable: metric(
    "gauge",
    "kube-state-metrics",
    "kube_deployment_status_replicas_available",
  ),
  replicasWanted: metric("gauge", "kube-state-metrics", "kube_deployment_spec_replicas"),
  autoscalerCurrent: metric(
    "gauge",
    "kube-state-metrics",
    "kube_horizontalpodautoscaler_status_current_replicas",
  ),
  autoscalerDesired: metric(
    "gauge",
    "kube-state-metrics",
    "kube_horizontalpodautoscaler_status_desired_replicas",
  ),
  autoscalerMax: metric(
    "gauge",
    "kube-state-metrics",
    "kube_horizontalpodautoscaler_spec_max_replicas",
  ),
  jobActive: metric("gauge", "kube-state-metrics", "kube_job_status_active"),
  jobSucceeded: metric("gauge", "kube-state-metrics", "kube_job_status_succeeded"),
  jobFailedPods: metric("gauge", "kube-state-metrics", "kube_job_status_failed"),
  jobFailed: metric("gauge", "kube-state-metrics", "kube_job_failed"),
  jobStart: metric("gauge", "kube-state-metrics", "kube_job_status_start_time"),
  jobCompletion: metric("gauge", "kube-state-metrics", "kube_job_status_completion_time"),
  containerRestarts: metric(
    "counter",
    "kube-state-metrics",
    "kube_pod_container_status_restarts_total",
  ),

  containerCpu: metric("counter", "kubelet", "container_cpu_usage_seconds_total"),
  containerMemory: metric("gauge", "kubelet", "container_memory_working_set_bytes"),
  volumeAvailable: metric("gauge", "kubelet", "kubelet_volume_stats_available_bytes"),
  volumeCapacity: metric("gauge", "kubelet", "kubelet_volume_stats_capacity_bytes"),

  gpuUtilization: metric("gauge", "dcgm-exporter", "DCGM_FI_DEV_GPU_UTIL"),
  gpuMemoryUsed: metric("gauge", "dcgm-exporter", "DCGM_FI_DEV_FB_USED"),
  gpuMemoryFree: metric("gauge", "dcgm-exporter", "DCGM_FI_DEV_FB_FREE"),
  gpuPower: metric("gauge", "dcgm-exporter", "DCGM_FI_DEV_POWER_USAGE"),
  gpuTemperature: metric("gauge", "dcgm-exporter", "DCGM_FI_DEV_GPU_TEMP"),
  gpuClock: metric("gauge", "dcgm-exporter", "DCGM_FI_DEV_SM_CLOCK"),
  gpuErrors: metric("gauge", "dcgm-exporter", "DCGM_FI_DEV_XID_ERRORS"),
} as const satisfies Record<string, Metric>;

/** Names of the metrics that PromQL may name, by kind. */
type MetricOf<K extends Metric["kind"]> = {
  [N in keyof typeof METRICS]: (typeof METRICS)[N]["kind"] extends K ? N : never;
}[keyof typeof METRICS];

/** Writers of PromQL over the series of one namespace. Matchers look like `pod=~"a.+"`. */
export interface Series {
  /** Series of a metric. */
  of(name: MetricOf<"gauge" | "counter">, ...matchers: readonly string[]): string;
  /** Growth of a counter a second, over five minutes. */
  rate(name: MetricOf<"counter">, ...matchers: readonly string[]): string;
  /** A quantile of a histogram over five minutes, for each value of the labels `by`. */
  quantile(
    quantile: number,
    name: MetricOf<"histogram">,
    by: readonly string[],
    ...matchers: readonly string[]
  ): string;
}

/** {@link Series} of a namespace. */
export function seriesOf(namespace: string): Series {
  const select = (name: string, matchers: readonly string[]): string =>
    `${name}{${[`namespace="${namespace}"`, ...matchers].join(", ")}}`;
  return {
    of: (name, ...matchers) => select(METRICS[name].name, matchers),
    rate: (name, ...matchers) => `rate(${select(METRICS[name].name, matchers)}[5m])`,
    quantile: (quantile, name, by, ...matchers) => {
      const buckets = select(`${METRICS[name].name}_bucket`, matchers);
      const sum = `sum by (${[...by, "le"].join(", ")}) (rate(${buckets}[5m]))`;
      return `histogram_quantile(${String(quantile)}, ${sum})`;
    },
  };
}
