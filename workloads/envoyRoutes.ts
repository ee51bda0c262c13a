/** JSON, as Envoy's configuration is written. */
export type Json = Readonly<Record<string, unknown>>;

/** Prefix of the types of Envoy's extensions. */
export const EXTENSIONS = "type.googleapis.com/envoy.extensions";

/** Namespace of what is read from a request. */
export const METADATA = "llmops";

/** A model as the front door sees it. */
export interface RoutedModel {
  /** Names the cluster in metrics and logs. */
  readonly name: string;
  /** Values of `model` in requests that are sent to it. */
  readonly served: readonly string[];
  /** Host name that resolves to its ready pods. */
  readonly pods: string;
  /** Host name of its Service, whose one address leads to any of its ready pods. */
  readonly service: string;
  readonly port: number;
  /** The model that it gets part of the requests of, by the name in them, and how many percent. */
  readonly canary?: { readonly of: string; readonly weight: number } | undefined;
}

/** An error as the OpenAI API words it. */
function apiError(message: string, code: string, type = "invalid_request_error"): Json {
  return { error: { message, type, param: null, code } };
}

/** A route that Envoy answers by itself. */
export function answer(match: Json, status: number, body: Json): Json {
  return {
    match,
    direct_response: { status, body: { inline_string: JSON.stringify(body) } },
    response_headers_to_add: [
      {
        header: { key: "content-type", value: "application/json" },
        append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
      },
    ],
  };
}

/** Matches requests of one method. */
export const method = (exact: string): Json => ({ name: ":method", string_match: { exact } });

const modelIs = (value: Json): Json => ({
  filter: METADATA,
  path: [{ key: "model" }],
  value,
});

/** Name of the cluster of a model in metrics and logs. */
export const clusterName = ({ name }: Pick<RoutedModel, "name">): string => `model-${name}`;

/** Name of the cluster of a model for what it gets as a canary. */
export const canaryName = ({ name }: RoutedModel): string => `canary-${name}`;

/** The canaries among the models that get part of the requests for this one. */
export function canariesOf(
  { served }: RoutedModel,
  models: readonly RoutedModel[],
): { readonly model: RoutedModel; readonly weight: number }[] {
  return models.flatMap((model) => {
    const { canary } = model;
    return canary !== undefined && canary.of === served[0]
      ? [{ model, weight: canary.weight }]
      : [];
  });
}

/** Retries send a request again only where no server has begun to answer it. */
export const RETRIES: Json = {
  retry_on: "connect-failure,refused-stream,reset-before-request,retriable-status-codes",
  retriable_status_codes: [503],
  num_retries: 5,
  retry_back_off: { base_interval: "0.25s", max_interval: "5s" },
  retry_host_predicate: [
    {
      name: "envoy.retry_host_predicates.previous_hosts",
      typed_config: {
        "@type": `${EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate`,
      },
    },
  ],
  host_selection_retry_max_attempts: "5",
};

/** Retries of a request that a canary got: at once with the model, not with the same canary again. */
const CANARY_RETRIES: Json = {
  ...RETRIES,
  retry_priority: {
    name: "envoy.retry_priorities.previous_priorities",
    typed_config: {
      "@type": `${EXTENSIONS}.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig`,
      update_frequency: 1,
    },
  },
};

/** Where requests for a model go: to its cluster, or with canaries to several by their weights. */
function target(model: RoutedModel, served: string, models: readonly RoutedModel[]): Json {
  const own = clusterName(model);
  const canaries = served === model.served[0] ? canariesOf(model, models) : [];
  if (canaries.length === 0) return { cluster: own };
  const rest = canaries.reduce((left, { weight }) => left - weight, 100);
  const others = canaries.map((canary) => ({
    name: canaryName(canary.model),
    weight: canary.weight,
  }));
  return {
    weighted_clusters: { clusters: [{ name: own, weight: rest }, ...others] },
    retry_policy: CANARY_RETRIES,
  };
}

function routesTo(model: RoutedModel, models: readonly RoutedModel[]): Json[] {
  return model.served.map((served) => ({
    match: {
      prefix: "/v1/",
      headers: [method("POST")],
      dynamic_metadata: [modelIs({ string_match: { exact: served } })],
    },
    route: { ...target(model, served, models), timeout: "0s" },
  }));
}

/** A model as `GET /v1/models` describes it. */
const modelObject = (id: string): Json => ({
  id,
  object: "model",
  created: 0,
  owned_by: "llmops",
});

function listRoutes(names: readonly string[]): Json[] {
  const get = (path: string): Json => ({ path, headers: [method("GET")] });
  return [
    answer(get("/v1/models"), 200, { object: "list", data: names.map(modelObject) }),
    ...names.flatMap((name) =>
      [...new Set([name, encodeURIComponent(name)])].map((path) =>
        answer(get(`/v1/models/${path}`), 200, modelObject(name)),
      ),
    ),
  ];
}

/** The routes of the front door: the list of models, each model, and errors for all else. */
export function frontDoorRoutes(models: readonly RoutedModel[]): Json[] {
  const names = models.flatMap(({ served }) => served);
  const unknown = apiError(
    `This model does not exist. Models: ${names.join(", ")}`,
    "model_not_found",
  );
  const post: Json = { prefix: "/v1/", headers: [method("POST")] };
  const noModel = "The request body must be JSON (content-type: application/json) with a model";
  const noRoute = "Unknown request: POST to /v1/... with a model, or GET /v1/models";
  return [
    ...listRoutes(names),
    ...models.flatMap((model) => routesTo(model, models)),
    answer({ ...post, dynamic_metadata: [modelIs({ present_match: true })] }, 404, unknown),
    answer(post, 400, apiError(noModel, "missing_model")),
    answer({ prefix: "/v1/models/", headers: [method("GET")] }, 404, unknown),
    answer({ prefix: "/" }, 404, apiError(noRoute, "unknown_url")),
  ];
}

/** Bodies of the answers that Envoy gives where no route does. */
export function localReplies(maxBodyMiB: number): Json {
  const status = (op: "EQ" | "GE", value: number): Json => ({
    status_code_filter: {
      comparison: {
        op,
        value: { default_value: value, runtime_key: `front_door.status_${String(value)}` },
      },
    },
  });
  const reply = (filter: Json, body: Json): Json => ({
    filter,
    body_format_override: { json_format: body },
  });
  const key = "Missing or wrong API key: send the header Authorization: Bearer <key>";
  const large = `The request body is larger than ${String(maxBodyMiB)} MiB`;
  const away = "No server of this model can be reached; try again later";
  return {
    mappers: [
      // Envoy's access control says 403; clients expect 401.
      {
        ...reply(status("EQ", 403), apiError(key, "invalid_api_key")),
        status_code: 401,
        headers_to_add: [{ header: { key: "www-authenticate", value: "Bearer" } }],
      },
      reply(status("EQ", 408), apiError("The request took too long to arrive", "request_timeout")),
      reply(status("EQ", 413), apiError(large, "request_too_large")),
      {
        ...reply(status("GE", 500), apiError(away, "model_unavailable", "server_error")),
        headers_to_add: [{ header: { key: "retry-after", value: "2" } }],
      },
    ],
  };
}
