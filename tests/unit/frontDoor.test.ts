import { parse } from "yaml";
import { servedNames } from "../../config/models";
import { ruleFaults } from "../../config/rules";
import { settingsSchema } from "../../config/schema";
import { endpoints } from "../../workloads/endpoints";
import { apiKeyFilter, envoyConfig } from "../../workloads/envoyConfig";
import { localReplies } from "../../workloads/envoyRoutes";
import {
  frontDoorConfig,
  frontDoorSpec,
  ingressSpec,
  modelPodsSpec,
} from "../../workloads/frontDoor";
import { networkPolicies } from "../../workloads/network";
import { settingsOf, validTree } from "../support/settings";

const model = (change: object) => ({ source: { kind: "volume", path: "m" }, ...change });
const tree = (frontDoor: object = {}, change: object = {}) => ({
  ...validTree(),
  models: [model({ name: "a", servedName: "acme/a" }), model({ name: "b" })],
  frontDoor: { enabled: true, ...frontDoor },
  ...change,
});
const settings = (...args: Parameters<typeof tree>) => settingsOf(tree(...args));

describe("settings", () => {
  test("off unless asked for; two pods of a GiB for bodies of 8 MiB", () => {
    expect(settingsOf(validTree()).frontDoor).toEqual({
      enabled: false,
      replicas: 2,
      maxBodyMiB: 8,
      resources: { cpu: "250m", memory: "1Gi" },
      placement: { nodeSelector: {}, tolerations: [] },
      service: { type: "ClusterIP" },
    });
  });

  test.each([
    ["LLM.example.com"],
    ["https://llm.example.com"],
    ["llm.example.com/v1"],
    ["localhost"],
    ["-a.example.com"],
    ["*.example.com"],
  ])("%s is no host of an Ingress", (host) => {
    const parsed = settingsSchema.safeParse(tree({ ingress: { host } }));
    expect(parsed.error?.issues).toEqual([
      expect.objectContaining({ path: ["frontDoor", "ingress", "host"] }),
    ]);
  });

  test("a model answers to its served name, or else to its name", () => {
    expect(settings().models.map(servedNames)).toEqual([["acme/a"], ["b"]]);
  });
});

describe("rules", () => {
  test("memory is no matter without the front door", () => {
    const off = { enabled: false, resources: { memory: "64Mi" } };
    expect(ruleFaults(settings(off))).toEqual([]);
  });

  test.each([
    [8, "927Mi", false],
    [8, "928Mi", true],
    [8, "1G", true],
    [1, "0.25Gi", true],
    [1, "227M", false],
    [64, "6528Mi", true],
    [64, "6Gi", false],
  ])("bodies of %d MiB in %s: %s", (maxBodyMiB, memory, right) => {
    const faults = ruleFaults(settings({ maxBodyMiB, resources: { memory } }));
    const needed = `${String(128 + 100 * maxBodyMiB)}Mi`;
    expect(faults).toEqual(
      right
        ? []
        : [
            {
              key: "frontDoor.resources.memory",
              got: `${memory} with frontDoor.maxBodyMiB ${String(maxBodyMiB)}`,
              allowed: `at least ${needed}, which reading one such body can take`,
              fix: `pulumi config set --path 'llmops:frontDoor.resources.memory' '${needed}'`,
            },
          ],
    );
  });

  test("an Ingress whose controller is let in by nothing", () => {
    const ingress = { host: "llm.example.com" };
    expect(ruleFaults(settings({ ingress }))).toEqual([
      {
        key: "network.clientNamespaces",
        got: "nobody, with frontDoor.ingress",
        allowed: "the namespace of the ingress controller, or its addresses in network.clientCidrs",
        fix: "pulumi config set --path 'llmops:network.clientNamespaces[0]' '<namespace>'",
      },
    ]);
    for (const network of [{ clientNamespaces: ["web"] }, { clientCidrs: ["10.0.0.0/8"] }]) {
      expect(ruleFaults(settings({ ingress }, { network }))).toEqual([]);
    }
  });

  test("its node port is its own", () => {
    const service = { type: "NodePort", nodePort: 30500 };
    expect(ruleFaults(settings({ service }, { mlflow: { service } }))).toEqual([
      expect.objectContaining({ key: "frontDoor.service.nodePort" }),
    ]);
  });
});

/** The parts of Envoy's configuration that the tests read. */
interface Config {
  readonly static_resources: {
    readonly listeners: readonly {
      readonly name: string;
      readonly address: unknown;
      readonly per_connection_buffer_limit_bytes?: number;
      readonly filter_chains: readonly {
        readonly filters: readonly {
          readonly typed_config: {
            readonly route_config: {
              readonly virtual_hosts: readonly { readonly routes: readonly Route[] }[];
            };
            readonly http_filters: readonly { readonly name: string }[];
          };
        }[];
      }[];
    }[];
    readonly clusters: readonly { readonly name: string }[];
  };
}

interface Route {
  readonly match: {
    readonly path?: string;
    readonly prefix?: string;
    readonly headers?: readonly { readonly string_match: { readonly exact: string } }[];
    readonly dynamic_metadata?: readonly { readonly value: unknown }[];
  };
  readonly route?: unknown;
  readonly direct_response?: { readonly status: number; readonly body: { inline_string: string } };
}

describe("the configuration of Envoy", () => {
  const text = frontDoorConfig(settings())["envoy.yaml"] ?? "";
  const config = parse(text) as Config;
  const { listeners, clusters } = config.static_resources;
  const manager = (index: number) => listeners[index]?.filter_chains[0]?.filters[0]?.typed_config;
  const routes = manager(0)?.route_config.virtual_hosts[0]?.routes ?? [];

  test("clients on one port; health and metrics on another; the rest on the loopback address", () => {
    const socket = (address: string, port: number) => ({
      socket_address: { address, port_value: port },
    });
    expect(listeners.map(({ name, address }) => [name, address])).toEqual([
      ["front-door", socket("0.0.0.0", 8080)],
      ["metrics", socket("0.0.0.0", 9090)],
    ]);
    expect(config).toMatchObject({ admin: { address: socket("127.0.0.1", 9901) } });
  });

  test("the key is checked before a body is read, and a body before it is routed", () => {
    expect(manager(0)?.http_filters.map(({ name }) => name)).toEqual([
      "api-key",
      "envoy.filters.http.json_to_metadata",
      "envoy.filters.http.router",
    ]);
    expect(manager(0)?.http_filters[0]).toEqual({
      name: "api-key",
      config_discovery: {
        config_source: {
          path_config_source: { path: "/var/run/secrets/front-door/api-key.json" },
          resource_api_version: "V3",
        },
        type_urls: ["type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"],
      },
    });
    expect(listeners[0]?.per_connection_buffer_limit_bytes).toBe(8 * 2 ** 20);
  });

  test("routes, in their order", () => {
    const summary = routes.map(({ match, direct_response }) => [
      match.headers?.[0]?.string_match.exact ?? "any",
      match.path ?? `${match.prefix ?? ""}*`,
      match.dynamic_metadata?.[0]?.value ?? null,
      direct_response?.status ?? "forwarded",
    ]);
    expect(summary).toEqual([
      ["GET", "/v1/models", null, 200],
      ["GET", "/v1/models/acme/a", null, 200],
      ["GET", "/v1/models/acme%2Fa", null, 200],
      ["GET", "/v1/models/b", null, 200],
      ["POST", "/v1/*", { string_match: { exact: "acme/a" } }, "forwarded"],
      ["POST", "/v1/*", { string_match: { exact: "b" } }, "forwarded"],
      ["POST", "/v1/*", { present_match: true }, 404],
      ["POST", "/v1/*", null, 400],
      ["GET", "/v1/models/*", null, 404],
      ["any", "/*", null, 404],
    ]);
    expect(JSON.parse(routes[6]?.direct_response?.body.inline_string ?? "")).toEqual({
      error: {
        message: "This model does not exist. Models: acme/a, b",
        type: "invalid_request_error",
        param: null,
        code: "model_not_found",
      },
    });
  });

  test("a request has no limit of time, and is sent again only where no server took it", () => {
    expect(routes[5]?.route).toEqual({ cluster: "model-b", timeout: "0s" });
    expect(manager(0)?.route_config.virtual_hosts[0]).toMatchObject({
      retry_policy: {
        retry_on: "connect-failure,refused-stream,reset-before-request,retriable-status-codes",
        retriable_status_codes: [503],
        num_retries: 5,
      },
    });
  });

  test("one cluster a model, of its ready pods; each request has a connection of its own", () => {
    expect(clusters.map(({ name }) => name)).toEqual(["model-a", "model-b", "admin"]);
    expect(clusters[1]).toMatchObject({
      cluster_type: { name: "envoy.cluster.dns", typed_config: { dns_refresh_rate: "2s" } },
      lb_policy: "LEAST_REQUEST",
      load_assignment: { cluster_name: "model-b" },
      typed_extension_protocol_options: {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
          common_http_protocol_options: { max_requests_per_connection: 1 },
        },
      },
    });
  });

  test("a model's Service is asked only while none of its pods can be", () => {
    const address = (host: string) => ({
      lb_endpoints: [
        { endpoint: { address: { socket_address: { address: host, port_value: 8000 } } } },
      ],
    });
    expect(clusters[1]).toMatchObject({
      load_assignment: {
        endpoints: [
          { priority: 0, ...address("inference-pods-b.llmops.svc") },
          { priority: 1, ...address("llama-factory-inference-b.llmops.svc") },
        ],
        policy: { overprovisioning_factor: 100_000 },
      },
    });
  });

  test("a model that is added changes nothing of the others", () => {
    const more = settings({}, { models: [...(tree().models as object[]), model({ name: "c" })] });
    const after = parse(frontDoorConfig(more)["envoy.yaml"] ?? "") as Config;
    for (const cluster of clusters) expect(after.static_resources.clusters).toContainEqual(cluster);
  });

  describe("with canaries", () => {
    const canary = (name: string, weight: number) =>
      model({ name, canary: { of: "acme/a", weight } });
    const adapters = [{ name: "lora", source: { kind: "volume", path: "l" } }];
    const models = [
      model({ name: "a", servedName: "acme/a", adapters }),
      model({ name: "b" }),
      canary("c", 10),
      canary("d", 25),
    ];
    const split = parse(frontDoorConfig(settings({}, { models }))["envoy.yaml"] ?? "") as Config;
    const [front] = split.static_resources.listeners;
    const forwarded = (
      front?.filter_chains[0]?.filters[0]?.typed_config.route_config.virtual_hosts[0]?.routes ?? []
    ).flatMap(({ match, route }) =>
      route === undefined ? [] : [[match.dynamic_metadata?.[0]?.value, route]],
    );
    const to = (exact: string, target: object) => [
      { string_match: { exact } },
      { ...target, timeout: "0s" },
    ];

    test("requests for the model itself are split; its adapters, and the canaries' names, are not", () => {
      const onTheModel = expect.objectContaining({
        num_retries: 5,
        retry_priority: expect.objectContaining({
          name: "envoy.retry_priorities.previous_priorities",
        }) as unknown,
      }) as unknown;
      const clusters = [
        { name: "model-a", weight: 65 },
        { name: "canary-c", weight: 10 },
        { name: "canary-d", weight: 25 },
      ];
      expect(forwarded).toEqual([
        to("acme/a", { weighted_clusters: { clusters }, retry_policy: onTheModel }),
        to("lora", { cluster: "model-a" }),
        to("b", { cluster: "model-b" }),
        to("c", { cluster: "model-c" }),
        to("d", { cluster: "model-d" }),
      ]);
    });

    test("the model stands in for a canary without ready pods", () => {
      const { clusters: all } = split.static_resources;
      expect(all.map(({ name }) => name)).toEqual([
        ...["model-a", "model-b", "model-c", "model-d"],
        ...["canary-c", "canary-d", "admin"],
      ]);
      expect(all[4]).toMatchObject({
        cluster_type: {
          name: "envoy.clusters.aggregate",
          typed_config: { clusters: ["model-c", "model-a"] },
        },
        circuit_breakers: { thresholds: [{ max_retries: 10_000 }] },
      });
    });
  });

  test("the key is in its own file only", () => {
    const args = { models: [], maxBodyMiB: 8, apiKeyFile: "/k.json" };
    expect(envoyConfig(args)).not.toContain("sk-planted");
    const [filter] = (JSON.parse(apiKeyFilter('sk-"planted"')) as { resources: object[] })
      .resources;
    expect(filter).toMatchObject({
      name: "api-key",
      typed_config: {
        rules: {
          action: "ALLOW",
          policies: {
            clients: {
              principals: [
                {
                  header: {
                    name: "authorization",
                    string_match: { exact: 'Bearer sk-"planted"' },
                  },
                },
              ],
            },
          },
        },
      },
    });
  });

  test("what Envoy refuses by itself is an error of the OpenAI API", () => {
    const { mappers } = localReplies(8) as {
      mappers: {
        filter: { status_code_filter: { comparison: { op: string; value: unknown } } };
        status_code?: number;
        body_format_override: { json_format: { error: { code: string; message: string } } };
      }[];
    };
    const summary = mappers.map(({ filter, status_code, body_format_override }) => {
      const { op, value } = filter.status_code_filter.comparison;
      const { code } = body_format_override.json_format.error;
      return [op, (value as { default_value: number }).default_value, status_code, code];
    });
    expect(summary).toEqual([
      ["EQ", 403, 401, "invalid_api_key"],
      ["EQ", 408, undefined, "request_timeout"],
      ["EQ", 413, undefined, "request_too_large"],
      ["GE", 500, undefined, "model_unavailable"],
    ]);
    expect(mappers[2]?.body_format_override.json_format.error.message).toBe(
      "The request body is larger than 8 MiB",
    );
  });
});

describe("the pods", () => {
  const spec = frontDoorSpec({
    settings: settings().frontDoor,
    image: "r/i@sha256:0",
    configMap: "config-1",
    keySecret: "key-1",
    pullSecrets: ["pull"],
  });

  test("a new one is ready before an old one ends", () => {
    expect(spec).toMatchObject({
      replicas: 2,
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    });
  });

  test("drain before they end, and have the time for it", () => {
    expect(spec.template).toMatchObject({
      spec: {
        terminationGracePeriodSeconds: 615,
        containers: [
          {
            lifecycle: {
              preStop: {
                exec: { command: ["bash", "/opt/front-door/drain.sh", "9901", "15", "600"] },
              },
            },
          },
        ],
      },
    });
  });

  test("cannot write to their image, hold no token, and read the key from its Secret", () => {
    expect(spec.template).toMatchObject({
      spec: {
        serviceAccountName: "llmops-front-door",
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        imagePullSecrets: [{ name: "pull" }],
        containers: [
          {
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ["ALL"] },
            },
            resources: {
              requests: { cpu: "250m", memory: "1Gi" },
              limits: { memory: "1Gi" },
            },
            volumeMounts: [
              { name: "config", mountPath: "/app/config", readOnly: true },
              { name: "api-key", mountPath: "/var/run/secrets/front-door", readOnly: true },
            ],
          },
        ],
        volumes: [
          { name: "config", configMap: { name: "config-1" } },
          { name: "api-key", secret: { secretName: "key-1", defaultMode: 0o440 } },
        ],
      },
    });
  });

  test("are ready by /ready, and alive while they drain, when it fails", () => {
    expect(spec.template).toMatchObject({
      spec: {
        containers: [
          {
            readinessProbe: { httpGet: { path: "/ready", port: "metrics" } },
            livenessProbe: { httpGet: { path: "/live", port: "metrics" } },
          },
        ],
      },
    });
  });
});

test("a name that resolves to the ready pods of a model", () => {
  expect(modelPodsSpec("a")).toEqual({
    clusterIP: "None",
    selector: { "app.kubernetes.io/component": "inference", "app.kubernetes.io/instance": "a" },
    ports: [{ name: "http", port: 8000, targetPort: "http", protocol: "TCP" }],
  });
});

describe("Ingress", () => {
  const rules = [
    {
      host: "llm.example.com",
      http: {
        paths: [
          {
            path: "/v1",
            pathType: "Prefix",
            backend: { service: { name: "llm-front-door", port: { name: "http" } } },
          },
        ],
      },
    },
  ];

  test.each([
    [{}, { rules }],
    [
      { className: "nginx", tlsSecret: "cert" },
      {
        ingressClassName: "nginx",
        tls: [{ hosts: ["llm.example.com"], secretName: "cert" }],
        rules,
      },
    ],
  ])("with %j", (change, expected) => {
    const { ingress } = settings({ ingress: { host: "llm.example.com", ...change } }).frontDoor;
    expect(ingress && ingressSpec(ingress)).toEqual(expected);
  });
});

describe("network policies", () => {
  const door = { podSelector: { matchLabels: { "app.kubernetes.io/component": "front-door" } } };
  const from = (name: string) => ({
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } },
  });

  test("clients reach it, monitoring reads its metrics, and it reaches the model servers only", () => {
    const network = { clientNamespaces: ["apps"], clientCidrs: ["10.1.0.0/16"] };
    const policies = networkPolicies(settings({}, { network }));
    expect(policies["front-door"]).toEqual({
      ...door,
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        {
          from: [from("apps"), { ipBlock: { cidr: "10.1.0.0/16" } }],
          ports: [{ protocol: "TCP", port: 8080 }],
        },
        { from: [from("monitoring")], ports: [{ protocol: "TCP", port: 9090 }] },
      ],
      egress: [
        {
          to: [{ podSelector: { matchLabels: { "app.kubernetes.io/component": "inference" } } }],
          ports: [{ protocol: "TCP", port: 8000 }],
        },
      ],
    });
    expect(policies["inference"]?.ingress).toEqual([
      {
        from: [from("monitoring"), door, from("apps"), { ipBlock: { cidr: "10.1.0.0/16" } }],
        ports: [{ protocol: "TCP", port: 8000 }],
      },
    ]);
  });

  test("a stack without clients lets nobody in, rather than everybody", () => {
    expect(networkPolicies(settings())["front-door"]?.ingress).toEqual([
      { from: [from("monitoring")], ports: [{ protocol: "TCP", port: 9090 }] },
    ]);
  });
});

describe("endpoint", () => {
  const url = "http://llm-front-door.llmops.svc:8080/v1";

  test.each([
    [{}, { url }],
    [{ service: { type: "NodePort", nodePort: 30880 } }, { url, nodePort: 30880 }],
    [{ ingress: { host: "llm.example.com" } }, { url, public: "http://llm.example.com/v1" }],
    [
      { ingress: { host: "llm.example.com", tlsSecret: "cert" } },
      { url, public: "https://llm.example.com/v1" },
    ],
  ])("with %j", (change, expected) => {
    expect(endpoints(settings(change)).frontDoor).toEqual(expected);
  });

  test("none without it", () => {
    expect(endpoints(settingsOf(validTree()))).not.toHaveProperty("frontDoor");
  });
});
