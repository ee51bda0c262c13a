import { join } from "node:path";

import { inside, network, nodeName } from "./options.ts";

const SCRAPE_SECONDS = 5;

/** Prometheus: the kubelet's container metrics, and every pod that asks for it by `prometheus.io/scrape: "true"`. */
export function prometheusConfig(nodeAddress: string): unknown {
  const kubelet = {
    scheme: "https",
    static_configs: [
      { targets: [`${nodeAddress}:${network.kubeletPort}`], labels: { node: nodeName } },
    ],
    tls_config: {
      ca_file: join(inside.pki, "ca.crt"),
      cert_file: join(inside.pki, "prometheus.crt"),
      key_file: join(inside.pki, "prometheus.key"),
    },
  };
  return {
    global: { scrape_interval: `${SCRAPE_SECONDS}s`, evaluation_interval: "30s" },
    scrape_configs: [
      {
        ...kubelet,
        job_name: "kubelet-cadvisor",
        metrics_path: "/metrics/cadvisor",
        honor_timestamps: false,
        metric_relabel_configs: [
          {
            source_labels: ["__name__"],
            regex: "container_(cpu_usage_seconds_total|memory_working_set_bytes)",
            action: "keep",
          },
        ],
      },
      { ...kubelet, job_name: "kubelet-resource", metrics_path: "/metrics/resource" },
      {
        job_name: "pods",
        file_sd_configs: [{ files: [inside.targets], refresh_interval: `${SCRAPE_SECONDS}s` }],
      },
    ],
  };
}

/** The adapter: vLLM's gauges as metrics of their pods, and the resource metrics of pods and nodes. */
export function adapterConfig(): unknown {
  const resources = {
    overrides: { namespace: { resource: "namespace" }, pod: { resource: "pod" } },
  };
  const nodeResources = {
    overrides: {
      node: { resource: "node" },
      namespace: { resource: "namespace" },
      pod: { resource: "pod" },
    },
  };
  return {
    rules: [
      {
        seriesQuery: '{__name__=~"^vllm:.*",namespace!="",pod!=""}',
        seriesFilters: [{ isNot: "_(bucket|sum|count|total|created)$" }],
        resources,
        metricsQuery: "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
      },
    ],
    resourceRules: {
      cpu: {
        containerQuery:
          'sum(rate(container_cpu_usage_seconds_total{<<.LabelMatchers>>,container!=""}[30s])) by (<<.GroupBy>>)',
        nodeQuery:
          "sum(rate(node_cpu_usage_seconds_total{<<.LabelMatchers>>}[30s])) by (<<.GroupBy>>)",
        resources: nodeResources,
        containerLabel: "container",
      },
      memory: {
        containerQuery:
          'sum(container_memory_working_set_bytes{<<.LabelMatchers>>,container!=""}) by (<<.GroupBy>>)',
        nodeQuery: "sum(node_memory_working_set_bytes{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
        resources: nodeResources,
        containerLabel: "container",
      },
      window: "30s",
    },
  };
}
