import { EXTENSIONS, canariesOf, canaryName, clusterName } from "./envoyRoutes";
import type { Json, RoutedModel } from "./envoyRoutes";

const endpoint = (address: string, port: number): Json => ({
  lb_endpoints: [{ endpoint: { address: { socket_address: { address, port_value: port } } } }],
});

/** Requests and connections at once, more than any queue should hold; beyond it Envoy answers 503. */
export const MOST_REQUESTS = 10_000;

const CIRCUIT_BREAKERS: Json = {
  thresholds: [
    {
      max_connections: MOST_REQUESTS,
      max_pending_requests: MOST_REQUESTS,
      max_requests: MOST_REQUESTS,
      max_retries: MOST_REQUESTS,
    },
  ],
};

/** Share of the pods, in percent, that must be reachable for the Service to be left alone: any one of 1000. */
const ANY_POD = 100_000;

/**
 * The ready pods of a model: one cluster. Its Service comes second: it is asked only while the DNS names no pod that can
 * be reached. The DNS is seconds behind, with a cache up to half a minute, and the node's table of Services is not.
 */
export function modelCluster(model: RoutedModel): Json {
  const name = clusterName(model);
  const { pods, service, port } = model;
  return {
    name,
    connect_timeout: "2s",
    lb_policy: "LEAST_REQUEST",
    cluster_type: {
      name: "envoy.cluster.dns",
      typed_config: {
        "@type": `${EXTENSIONS}.clusters.dns.v3.DnsCluster`,
        dns_lookup_family: "V4_PREFERRED",
        dns_refresh_rate: "2s",
        dns_failure_refresh_rate: { base_interval: "0.5s", max_interval: "2s" },
      },
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [
        { priority: 0, ...endpoint(pods, port) },
        { priority: 1, ...endpoint(service, port) },
      ],
      policy: { overprovisioning_factor: ANY_POD },
    },
    circuit_breakers: CIRCUIT_BREAKERS,
    // A pod that cannot be connected to is left out for a while, unless none is left.
    outlier_detection: {
      split_external_local_origin_errors: true,
      consecutive_local_origin_failure: 3,
      enforcing_consecutive_5xx: 0,
      enforcing_consecutive_gateway_failure: 0,
      enforcing_success_rate: 0,
      enforcing_local_origin_success_rate: 0,
      interval: "1s",
      base_ejection_time: "5s",
      max_ejection_percent: 100,
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
        // A connection used again may be one that the server is just closing; a new one costs nothing here.
        common_http_protocol_options: { max_requests_per_connection: 1 },
        explicit_http_config: { http_protocol_options: {} },
      },
    },
  };
}

/** For each canary: its ready pods, and while it has none, those of the model it is a canary of. */
export function canaryClusters(models: readonly RoutedModel[]): Json[] {
  return models.flatMap((model) =>
    canariesOf(model, models).map((canary) => ({
      name: canaryName(canary.model),
      connect_timeout: "2s",
      lb_policy: "CLUSTER_PROVIDED",
      // Retries count here, and three at once would be all that Envoy allows.
      circuit_breakers: CIRCUIT_BREAKERS,
      cluster_type: {
        name: "envoy.clusters.aggregate",
        typed_config: {
          "@type": `${EXTENSIONS}.clusters.aggregate.v3.ClusterConfig`,
          clusters: [clusterName(canary.model), clusterName(model)],
        },
      },
    })),
  );
}

/** Envoy's own admin interface. */
export function adminCluster(port: number): Json {
  return {
    name: "admin",
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: { cluster_name: "admin", endpoints: [endpoint("127.0.0.1", port)] },
  };
}
