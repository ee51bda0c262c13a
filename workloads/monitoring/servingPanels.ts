import { NAMES } from "../names";
import type { Panel, Query } from "./grafana";
import type { Series } from "./metrics";

const MODEL = 'model_name=~"$model"';
const SERVERS = `${NAMES.modelServer}-.+`;

const byModel = (expr: string): Query => ({
  expr: `sum by (model_name) (${expr})`,
  legend: "{{model_name}}",
});

/** Median and 95th percentile of a histogram, for each model. */
function latency(series: Series, name: Parameters<Series["quantile"]>[1]): Query[] {
  return [0.5, 0.95].map((quantile) => ({
    expr: series.quantile(quantile, name, ["model_name"], MODEL),
    legend: `{{model_name}} p${String(quantile * 100)}`,
  }));
}

function servingLoad(series: Series): Panel[] {
  return [
    {
      title: "Requests finished",
      description:
        "By how they ended: stop and length are whole answers, abort is a client that left.",
      unit: "reqps",
      queries: [
        {
          expr: `sum by (model_name, finished_reason) (${series.rate("requestSuccess", MODEL)})`,
          legend: "{{model_name}} {{finished_reason}}",
        },
      ],
    },
    {
      title: "Requests running",
      description: "Requests that the engines work on.",
      unit: "short",
      queries: [byModel(series.of("requestsRunning", MODEL))],
    },
    {
      title: "Requests waiting",
      description: "The queue that the autoscaler looks at.",
      unit: "short",
      queries: [byModel(series.of("requestsWaiting", MODEL))],
    },
    {
      title: "Time to first token",
      description: "From the request's arrival, waiting included.",
      unit: "s",
      queries: latency(series, "timeToFirstToken"),
    },
    {
      title: "Time between tokens",
      description: "What a reader of a streamed answer feels.",
      unit: "s",
      queries: latency(series, "interTokenLatency"),
    },
    {
      title: "Time of a whole request",
      description: "From arrival to the last token.",
      unit: "s",
      queries: latency(series, "requestLatency"),
    },
    {
      title: "Time in the queue",
      description: "Part of the time to the first token.",
      unit: "s",
      queries: latency(series, "queueTime"),
    },
    {
      title: "Tokens read",
      description: "Tokens of prompts, a second.",
      unit: "short",
      queries: [byModel(series.rate("promptTokens", MODEL))],
    },
    {
      title: "Tokens written",
      description: "Tokens of answers, a second.",
      unit: "short",
      queries: [byModel(series.rate("generationTokens", MODEL))],
    },
  ];
}

function servingHealth(series: Series): Panel[] {
  const pods = `pod=~"${SERVERS}"`;
  const deployments = `deployment=~"${SERVERS}"`;
  const scalers = `horizontalpodautoscaler=~"${NAMES.autoscaler}-.+"`;
  const status = "sum by (status)";
  return [
    {
      title: "KV cache in use",
      description: "A full cache makes requests wait or be computed twice.",
      unit: "percentunit",
      queries: [{ expr: series.of("kvCacheUsage", MODEL), legend: "{{pod}}" }],
    },
    {
      title: "Prompts found in the cache",
      description: "Part of the prompts' tokens that an earlier request had computed.",
      unit: "percentunit",
      queries: [
        {
          expr: `sum by (model_name) (${series.rate("prefixCacheHits", MODEL)}) / sum by (model_name) (${series.rate("prefixCacheQueries", MODEL)})`,
          legend: "{{model_name}}",
        },
      ],
    },
    {
      title: "Requests set back",
      description: "Requests that lost their place in the KV cache and start again, a second.",
      unit: "reqps",
      queries: [byModel(series.rate("preemptions", MODEL))],
    },
    {
      title: "Answers by status",
      description:
        "All routes of the model servers: 4xx are faults of clients, 5xx of the servers.",
      unit: "reqps",
      queries: [{ expr: `${status} (${series.rate("httpRequests", pods)})`, legend: "{{status}}" }],
    },
    {
      title: "Replicas that answer",
      description: "Pods that Prometheus could ask.",
      unit: "short",
      queries: [{ expr: `sum(${series.of("up", pods)})`, legend: "answering" }],
    },
    {
      title: "Replicas ready",
      description: "As Kubernetes sees it.",
      unit: "short",
      queries: [{ expr: series.of("replicasAvailable", deployments), legend: "{{deployment}}" }],
    },
    {
      title: "Autoscaler",
      description: "What is there, what it wants, and what it may have.",
      unit: "short",
      queries: (
        [
          ["autoscalerCurrent", "current"],
          ["autoscalerDesired", "desired"],
          ["autoscalerMax", "max"],
        ] as const
      ).map(([name, legend]) => ({
        expr: series.of(name, scalers),
        legend: `{{horizontalpodautoscaler}} ${legend}`,
      })),
    },
    {
      title: "Restarts",
      description: "Restarts of the servers' containers since their pods were made.",
      unit: "short",
      queries: [{ expr: series.of("containerRestarts", pods), legend: "{{pod}}" }],
    },
  ];
}

/** Panels of the model servers: what is asked of them, how fast they answer, and how they are. */
export function servingPanels(series: Series): Panel[] {
  return [...servingLoad(series), ...servingHealth(series)];
}
