import { stringify } from "yaml";
import { MOST_REQUESTS, adminCluster, canaryClusters, modelCluster } from "./envoyClusters";
import {
  EXTENSIONS,
  METADATA,
  RETRIES,
  answer,
  frontDoorRoutes,
  localReplies,
  method,
} from "./envoyRoutes";
import type { Json, RoutedModel } from "./envoyRoutes";
import { requestTracing, tracesCluster } from "./envoyTracing";
import type { EnvoyTraces } from "./envoyTracing";
import { NAMES, PORTS } from "./names";

/** Where Envoy listens; its admin interface is on the loopback address always. */
export interface Listen {
  readonly address: string;
  readonly http: number;
  readonly metrics: number;
  readonly admin: number;
}

/** What the configuration of Envoy follows from. */
export interface EnvoyConfigArgs {
  readonly models: readonly RoutedModel[];
  /** Largest request body, in MiB. */
  readonly maxBodyMiB: number;
  /** File with {@link apiKeyFilter}. */
  readonly apiKeyFile: string;
  /** How it sends spans. @default it sends none */
  readonly traces?: EnvoyTraces | undefined;
  /** Where it listens. @default every address of the pod */
  readonly listen?: Listen;
}

const API_KEY_FILTER = "api-key";
const API_KEY_TYPE = `${EXTENSIONS}.filters.http.rbac.v3.RBAC`;
/** A stream with no byte for so long is ended; no request has a limit of its own. */
const IDLE = "900s";
const MIB = 1024 * 1024;

const POD: Listen = {
  address: "0.0.0.0",
  http: PORTS.frontDoor,
  metrics: PORTS.frontDoorMetrics,
  admin: PORTS.frontDoorAdmin,
};

/** One line a request, with neither bodies nor headers that clients chose. */
const ACCESS_LOG: Json = {
  name: "envoy.access_loggers.stdout",
  typed_config: {
    "@type": `${EXTENSIONS}.access_loggers.stream.v3.StdoutAccessLog`,
    log_format: {
      json_format: {
        time: "%START_TIME%",
        client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        method: "%REQ(:METHOD)%",
        path: "%PATH(NQ)%",
        model: `%DYNAMIC_METADATA(${METADATA}:model)%`,
        status: "%RESPONSE_CODE%",
        details: "%RESPONSE_CODE_DETAILS%",
        flags: "%RESPONSE_FLAGS%",
        server: "%UPSTREAM_HOST%",
        attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        bytes_in: "%BYTES_RECEIVED%",
        bytes_out: "%BYTES_SENT%",
        milliseconds: "%DURATION%",
      },
    },
  },
};

/** Reads `model` from the body, which is held until it is whole. */
const READ_MODEL: Json = {
  name: "envoy.filters.http.json_to_metadata",
  typed_config: {
    "@type": `${EXTENSIONS}.filters.http.json_to_metadata.v3.JsonToMetadata`,
    request_rules: {
      allow_content_types_regex: { regex: "(?i)application/json(\\s*;.*)?" },
      rules: [
        {
          selectors: [{ key: "model" }],
          on_present: { metadata_namespace: METADATA, key: "model", type: "STRING" },
        },
      ],
    },
  },
};

const ROUTER: Json = {
  name: "envoy.filters.http.router",
  typed_config: {
    "@type": `${EXTENSIONS}.filters.http.router.v3.Router`,
    suppress_envoy_headers: true,
  },
};

/** The filter that checks the API key. It comes from a file of a Secret; without it Envoy answers 500. */
function checkKey(path: string): Json {
  return {
    name: API_KEY_FILTER,
    config_discovery: {
      config_source: { path_config_source: { path }, resource_api_version: "V3" },
      type_urls: [API_KEY_TYPE],
    },
  };
}

function listener(name: string, socket: Json, manager: Json, limits: Json): Json {
  return {
    name,
    address: { socket_address: socket },
    ...limits,
    filter_chains: [
      {
        filters: [
          {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: {
              "@type": `${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: name,
              ...manager,
            },
          },
        ],
      },
    ],
  };
}

function frontListener(args: EnvoyConfigArgs, socket: Json): Json {
  const { models, maxBodyMiB, apiKeyFile, traces } = args;
  const manager = {
    ...(traces === undefined ? {} : { tracing: requestTracing(traces) }),
    access_log: [ACCESS_LOG],
    use_remote_address: true,
    normalize_path: true,
    merge_slashes: true,
    request_headers_timeout: "10s",
    request_timeout: "120s",
    stream_idle_timeout: IDLE,
    local_reply_config: localReplies(maxBodyMiB),
    route_config: {
      name: "models",
      max_direct_response_body_size_bytes: MIB,
      virtual_hosts: [
        { name: "all", domains: ["*"], retry_policy: RETRIES, routes: frontDoorRoutes(models) },
      ],
    },
    http_filters: [checkKey(apiKeyFile), READ_MODEL, ROUTER],
  };
  return listener("front-door", socket, manager, {
    per_connection_buffer_limit_bytes: maxBodyMiB * MIB,
  });
}

/** Health and metrics only; the rest of the admin interface stays on the loopback address. */
function metricsListener(socket: Json): Json {
  const admin = (path: string, prefix: string): Json => ({
    match: { path, headers: [method("GET")] },
    route: { cluster: "admin", prefix_rewrite: prefix },
  });
  const routes = [
    admin("/ready", "/ready"),
    admin("/metrics", "/stats/prometheus"),
    answer({ path: "/live", headers: [method("GET")] }, 200, {}),
  ];
  const manager = {
    route_config: {
      name: "metrics",
      virtual_hosts: [{ name: "all", domains: ["*"], routes }],
    },
    http_filters: [ROUTER],
  };
  // Probes get through however many clients there are.
  return listener("metrics", socket, manager, { ignore_global_conn_limit: true });
}

const CONNECTIONS: Json = {
  name: "envoy.resource_monitors.global_downstream_max_connections",
  typed_config: {
    "@type": `${EXTENSIONS}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig`,
    max_active_downstream_connections: MOST_REQUESTS,
  },
};

/** Envoy's static configuration as YAML. It holds no secret. */
export function envoyConfig(args: EnvoyConfigArgs): string {
  const { address, http, metrics, admin } = args.listen ?? POD;
  const socket = (port: number): Json => ({ address, port_value: port });
  const config = {
    node: { id: NAMES.frontDoor, cluster: NAMES.frontDoor },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: admin } } },
    overload_manager: { resource_monitors: [CONNECTIONS] },
    static_resources: {
      listeners: [frontListener(args, socket(http)), metricsListener(socket(metrics))],
      clusters: [
        ...args.models.map(modelCluster),
        ...canaryClusters(args.models),
        adminCluster(admin),
        ...(args.traces === undefined ? [] : [tracesCluster(args.traces)]),
      ],
    },
  };
  return stringify(config, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** The part of the configuration that holds the API key, as JSON; the file's name must end with `.json`. */
export function apiKeyFilter(key: string): string {
  const header = { name: "authorization", string_match: { exact: `Bearer ${key}` } };
  return JSON.stringify({
    resources: [
      {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        name: API_KEY_FILTER,
        typed_config: {
          "@type": API_KEY_TYPE,
          rules: {
            action: "ALLOW",
            policies: { clients: { permissions: [{ any: true }], principals: [{ header }] } },
          },
        },
      },
    ],
  });
}
