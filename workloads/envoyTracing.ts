import { EXTENSIONS, METADATA } from "./envoyRoutes";
import type { Json } from "./envoyRoutes";
import { NAMES } from "./names";
import type { TraceTarget } from "./tracing";

/** How Envoy sends its spans. */
export interface EnvoyTraces extends Pick<TraceTarget, "url" | "headers" | "ratio"> {
  /** File with {@link traceHeadersFilter}; undefined: there are no secret headers. */
  readonly headersFile: string | undefined;
}

const CLUSTER = "traces";
const HEADERS_FILTER = "trace-headers";
const HEADERS_TYPE = `${EXTENSIONS}.filters.http.header_mutation.v3.HeaderMutation`;

const SAMPLERS = "envoy.tracers.opentelemetry.samplers";
const SAMPLER_TYPES = `${EXTENSIONS}.tracers.opentelemetry.samplers.v3`;
const MILLION = 1_000_000;

/** What a client traces is traced on; of all else a part is, by the number of the trace, as vLLM's sampler does. */
function sampler(ratio: number): Json {
  return {
    name: `${SAMPLERS}.parent_based`,
    typed_config: {
      "@type": `${SAMPLER_TYPES}.ParentBasedSamplerConfig`,
      wrapped_sampler: {
        name: `${SAMPLERS}.trace_id_ratio_based`,
        typed_config: {
          "@type": `${SAMPLER_TYPES}.TraceIdRatioBasedSamplerConfig`,
          sampling_percentage: {
            numerator: Math.round(ratio * MILLION),
            denominator: "MILLION",
          },
        },
      },
    },
  };
}

/**
 * A span for part of the requests, with the model and neither content nor key, in the trace that `traceparent`
 * names. The server of the model gets `traceparent` too, so its span is in the same trace.
 */
export function requestTracing({ url, headers, ratio }: EnvoyTraces): Json {
  return {
    // All are offered to the sampler.
    random_sampling: { value: 100 },
    custom_tags: [
      {
        tag: "llmops.model",
        metadata: {
          kind: { request: {} },
          metadata_key: { key: METADATA, path: [{ key: "model" }] },
        },
      },
    ],
    provider: {
      name: "envoy.tracers.opentelemetry",
      typed_config: {
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        service_name: NAMES.frontDoor,
        http_service: {
          http_uri: { uri: url, cluster: CLUSTER, timeout: "5s" },
          request_headers_to_add: Object.entries(headers).map(([key, value]) => ({
            header: { key, value },
          })),
        },
        sampler: sampler(ratio),
      },
    },
  };
}

const encrypted = (host: string): Json => ({
  transport_socket: {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": `${EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext`,
      sni: host,
      auto_sni_san_validation: true,
      common_tls_context: {
        validation_context: {
          trusted_ca: { filename: "/etc/ssl/certs/ca-certificates.crt" },
        },
      },
    },
  },
});

/** The filters of requests that carry spans: secret headers come from a file of a Secret. */
function filters(headersFile: string): Json {
  return {
    http_filters: [
      {
        name: HEADERS_FILTER,
        config_discovery: {
          config_source: { path_config_source: { path: headersFile }, resource_api_version: "V3" },
          type_urls: [HEADERS_TYPE],
        },
      },
      {
        name: "envoy.filters.http.upstream_codec",
        typed_config: { "@type": `${EXTENSIONS}.filters.http.upstream_codec.v3.UpstreamCodec` },
      },
    ],
  };
}

/** Where the spans are taken. */
export function tracesCluster({ url, headersFile }: EnvoyTraces): Json {
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === "https:";
  const port_value = port === "" ? (secure ? 443 : 80) : Number(port);
  const socket_address = { address: hostname, port_value };
  return {
    name: CLUSTER,
    connect_timeout: "2s",
    cluster_type: {
      name: "envoy.cluster.dns",
      typed_config: {
        "@type": `${EXTENSIONS}.clusters.dns.v3.DnsCluster`,
        dns_lookup_family: "V4_PREFERRED",
      },
    },
    load_assignment: {
      cluster_name: CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address } } }] }],
    },
    ...(secure ? encrypted(hostname) : {}),
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http_protocol_options: {} },
        ...(headersFile === undefined ? {} : filters(headersFile)),
      },
    },
  };
}

/** The value of a header in OTLP_HEADERS: what is no letter there is written as in a URL. */
function headerOf(pair: string): { readonly key: string; readonly value: string } {
  const [, name = "", encoded = ""] = /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
  try {
    // Envoy takes `%` for the beginning of a command.
    const value = decodeURIComponent(encoded).replaceAll("%", "%%");
    if (name !== "" && value !== "") return { key: name.toLowerCase(), value };
  } catch {
    // Told below, without the value.
  }
  throw new Error("OTLP_HEADERS must be name=value,name=value with values encoded as in a URL");
}

/** The part of the configuration with the headers in OTLP_HEADERS, as JSON; its file's name must end with `.json`. */
export function traceHeadersFilter(headers: string): string {
  const request_mutations = headers.split(",").map((pair) => ({
    append: { header: headerOf(pair), append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
  }));
  return JSON.stringify({
    resources: [
      {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        name: HEADERS_FILTER,
        typed_config: { "@type": HEADERS_TYPE, mutations: { request_mutations } },
      },
    ],
  });
}
