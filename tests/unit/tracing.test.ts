import { parse } from "yaml";
import { SECRET_KEYS } from "../../config/secrets";
import { settingsSchema } from "../../config/schema";
import { tracingFaults } from "../../config/tracingRules";
import { traceHeadersFilter, tracesCluster } from "../../workloads/envoyTracing";
import { frontDoorConfig } from "../../workloads/frontDoor";
import { networkPolicies } from "../../workloads/network";
import { traceArgs, traceEnv, traceTarget } from "../../workloads/tracing";
import { settingsOf, trainingTree, validTree } from "../support/settings";

const IN_CLUSTER = "http://collector.observability.svc:4318/v1/traces";
const OUTSIDE = "https://otlp.example.com/v1/traces";
const mlflow = { kind: "mlflow" };
const collector = { kind: "otlp", endpoint: IN_CLUSTER };
const door = { frontDoor: { enabled: true } };

const stack = (tracing: object | undefined, change: object = {}) =>
  settingsOf({ ...validTree(), ...(tracing === undefined ? {} : { tracing }), ...change });
const faults = (tracing: object, change: object = {}) => tracingFaults(stack(tracing, change));

describe("settings", () => {
  test("nothing is traced unless a stack says so; then one request in ten", () => {
    expect(stack(undefined).tracing).toBeUndefined();
    expect(stack(mlflow).tracing).toEqual({ kind: "mlflow", experimentId: "0", ratio: 0.1 });
  });

  test.each([
    [{ kind: "mlflow", ratio: 0 }],
    [{ kind: "mlflow", ratio: 1.1 }],
    [{ kind: "mlflow", experimentId: "Default" }],
    [{ kind: "otlp" }],
    [{ kind: "otlp", endpoint: "https://user:word@otlp.example.com" }],
    [{ kind: "otlp", endpoint: "otlp.example.com:4317" }],
  ])("%j is refused", (tracing) => {
    expect(settingsSchema.safeParse({ ...validTree(), tracing }).success).toBe(false);
  });

  test("a Service of the cluster, or an address range, is a way out of the pods", () => {
    expect(faults(collector)).toEqual([]);
    expect(faults({ ...collector, endpoint: OUTSIDE, cidr: "192.0.2.7/32" })).toEqual([]);
  });

  test("an endpoint that no policy could name, or that two would", () => {
    expect(faults({ ...collector, endpoint: OUTSIDE })).toEqual([
      {
        key: "tracing.cidr",
        got: 'nothing, with the endpoint "otlp.example.com"',
        allowed: "its address range, since it is no <name>.<namespace>.svc of the cluster",
        fix: "pulumi config set --path 'llmops:tracing.cidr' '<address>/32'",
      },
    ]);
    expect(faults({ ...collector, cidr: "192.0.2.7/32" })).toEqual([
      {
        key: "tracing.cidr",
        got: '"192.0.2.7/32", with the endpoint "collector.observability.svc"',
        allowed: "not set: the pods of namespace observability are let through",
        fix: "pulumi config rm --path 'llmops:tracing.cidr'",
      },
    ]);
  });

  test("an MLflow that asks for a login", () => {
    expect(faults(mlflow, { mlflow: { auth: { enabled: true } } })).toEqual([
      {
        key: "tracing.kind",
        got: '"mlflow" with mlflow.auth.enabled',
        allowed:
          "otlp: MLflow's only login is the administrator's, which no server that takes requests may hold",
        fix: "pulumi config set --path 'llmops:tracing.kind' 'otlp'",
      },
    ]);
  });

  test("nobody who sends spans", () => {
    const source = { kind: "volume", path: "m" };
    const models = [{ name: "m", source, server: "llamafactory" }];
    expect(faults(mlflow, { models })).toEqual([
      {
        key: "tracing",
        got: "settings, with neither a front door nor a model of server vllm",
        allowed: "not set: LLaMA-Factory's server sends no spans",
        fix: "pulumi config rm --path 'llmops:tracing'",
      },
    ]);
    expect(faults(mlflow, { models, ...door })).toEqual([]);
  });

  test("the headers are a secret", () => {
    expect(SECRET_KEYS).toContain("OTLP_HEADERS");
  });
});

describe("a model server", () => {
  const pod = { model: "tuned", namespace: "llmops", secrets: {} };

  test("without tracing gets neither argument nor environment", () => {
    expect(traceArgs(traceTarget(stack(undefined)))).toEqual([]);
    expect(traceEnv(traceTarget(stack(undefined)), pod)).toEqual([]);
  });

  test("sends to MLflow, with the experiment as a header, and part of its requests", () => {
    const target = traceTarget(stack({ ...mlflow, experimentId: "7", ratio: 0.25 }));
    expect(traceArgs(target)).toEqual([
      "--otlp-traces-endpoint",
      "http://mlflow.llmops.svc:5000/v1/traces",
    ]);
    expect(traceEnv(target, { ...pod, secrets: { OTLP_HEADERS: "otlp-secret-1" } })).toEqual([
      { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      { name: "OTEL_SERVICE_NAME", value: "llama-factory-inference-tuned" },
      {
        name: "OTEL_RESOURCE_ATTRIBUTES",
        value: "service.namespace=llmops,service.instance.id=$(POD_NAME)",
      },
      { name: "OTEL_TRACES_SAMPLER", value: "parentbased_traceidratio" },
      { name: "OTEL_TRACES_SAMPLER_ARG", value: "0.25" },
      { name: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", value: "http/protobuf" },
      { name: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", value: "5" },
      { name: "OTEL_EXPORTER_OTLP_TRACES_HEADERS", value: "x-mlflow-experiment-id=7" },
    ]);
  });

  test("sends to a collector, with the headers of the secret by reference, where there are any", () => {
    const target = traceTarget(stack(collector));
    expect(traceArgs(target)).toEqual(["--otlp-traces-endpoint", IN_CLUSTER]);
    const name = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
    const headers = (secrets: Record<string, string>) =>
      traceEnv(target, { ...pod, secrets }).filter((each) => each.name === name);
    expect(headers({})).toEqual([]);
    expect(headers({ OTLP_HEADERS: "otlp-secret-1" })).toEqual([
      { name, valueFrom: { secretKeyRef: { name: "otlp-secret-1", key: "OTLP_HEADERS" } } },
    ]);
  });
});

describe("the front door", () => {
  interface Config {
    readonly static_resources: {
      readonly listeners: readonly {
        readonly name: string;
        readonly filter_chains: readonly {
          readonly filters: readonly { readonly typed_config: { readonly tracing?: object } }[];
        }[];
      }[];
      readonly clusters: readonly { readonly name: string }[];
    };
  }
  const config = (tracing: object | undefined, hasHeaders = false) => {
    const text = frontDoorConfig(stack(tracing, door), hasHeaders)["envoy.yaml"] ?? "";
    const { listeners, clusters } = (parse(text) as Config).static_resources;
    const tracings = listeners.map(({ name, filter_chains }) => [
      name,
      filter_chains[0]?.filters[0]?.typed_config.tracing,
    ]);
    const traced = Object.fromEntries(tracings) as Record<string, object | undefined>;
    return { traced, cluster: clusters.find(({ name }) => name === "traces") };
  };

  test("without tracing has no tracer", () => {
    expect(config(undefined)).toEqual({
      traced: { "front-door": undefined, metrics: undefined },
      cluster: undefined,
    });
  });

  test("traces part of the requests, and no probe", () => {
    const { traced, cluster } = config({ ...mlflow, ratio: 0.25 });
    expect(traced["metrics"]).toBeUndefined();
    expect(traced["front-door"]).toMatchObject({
      random_sampling: { value: 100 },
      provider: {
        typed_config: {
          sampler: {
            name: "envoy.tracers.opentelemetry.samplers.parent_based",
            typed_config: {
              wrapped_sampler: {
                typed_config: {
                  sampling_percentage: { numerator: 250_000, denominator: "MILLION" },
                },
              },
            },
          },
          service_name: "llm-front-door",
          http_service: {
            http_uri: { uri: "http://mlflow.llmops.svc:5000/v1/traces", cluster: "traces" },
            request_headers_to_add: [{ header: { key: "x-mlflow-experiment-id", value: "0" } }],
          },
        },
      },
    });
    expect(JSON.stringify(cluster)).toContain('{"address":"mlflow.llmops.svc","port_value":5000}');
    expect(JSON.stringify(cluster)).not.toContain("http_filters");
  });

  test("reads secret headers from a file, and writes none into its configuration", () => {
    const text = JSON.stringify(config(collector, true).cluster);
    expect(text).toContain('"/var/run/secrets/front-door/trace-headers.json"');
    expect(text).toContain('{"address":"collector.observability.svc","port_value":4318}');
  });

  test.each([
    ["https://otlp.example.com/v1/traces", 443],
    ["https://otlp.example.com:8443/v1/traces", 8443],
  ])("checks the certificate of %s", (url, port_value) => {
    const cluster = tracesCluster({ url, headers: {}, ratio: 1, headersFile: undefined });
    expect(cluster).toMatchObject({
      transport_socket: {
        typed_config: { sni: "otlp.example.com", auto_sni_san_validation: true },
      },
    });
    expect(JSON.stringify(cluster)).toContain(
      JSON.stringify({ address: "otlp.example.com", port_value }),
    );
  });

  test("OTLP_HEADERS: what is encoded there is sent as it is", () => {
    const text = traceHeadersFilter("Authorization=Basic%20YQ%3D%3D, x-team = 5%25");
    const [filter] = (JSON.parse(text) as { resources: object[] }).resources;
    const append = (key: string, value: string) => ({
      append: { header: { key, value }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
    });
    expect(filter).toMatchObject({
      name: "trace-headers",
      typed_config: {
        mutations: {
          request_mutations: [append("authorization", "Basic YQ=="), append("x-team", "5%%")],
        },
      },
    });
  });

  test.each(["planted-2f", "=planted-2f", "x=", "a=1,,b=planted-2f", "x=%planted-2f"])(
    "OTLP_HEADERS %j is refused, and not told",
    (text) => {
      expect(() => traceHeadersFilter(text)).toThrow(
        /^OTLP_HEADERS must be name=value,name=value with values encoded as in a URL$/,
      );
    },
  );
});

describe("the network", () => {
  const models = [
    { name: "tuned", source: { kind: "training" } },
    { name: "chat", source: { kind: "volume", path: "m" }, server: "llamafactory" },
  ];
  const policies = (tracing: object | undefined, change: object = door) =>
    networkPolicies(stack(tracing, { ...trainingTree(), models, ...change, ...traced(tracing) }));
  const traced = (tracing: object | undefined) => (tracing === undefined ? {} : { tracing });
  const servers = {
    matchLabels: { "app.kubernetes.io/component": "inference" },
    matchExpressions: [{ key: "app.kubernetes.io/instance", operator: "In", values: ["tuned"] }],
  };
  const frontDoor = { matchLabels: { "app.kubernetes.io/component": "front-door" } };
  const names = (all: object) => Object.keys(all).filter((name) => name.endsWith("-traces"));

  test("is as before without tracing", () => {
    expect(names(policies(undefined))).toEqual([]);
  });

  test("lets those that send spans to MLflow, and MLflow takes them", () => {
    const all = policies(mlflow);
    const to = [{ podSelector: { matchLabels: { "app.kubernetes.io/component": "mlflow" } } }];
    const egress = [{ to, ports: [{ protocol: "TCP", port: 5000 }] }];
    expect(all["inference-traces"]).toEqual({
      podSelector: servers,
      policyTypes: ["Egress"],
      egress,
    });
    expect(all["front-door-traces"]).toEqual({
      podSelector: frontDoor,
      policyTypes: ["Egress"],
      egress,
    });
    const [rule] = all["mlflow"]?.ingress as { from: object[] }[];
    expect(rule?.from).toEqual(
      expect.arrayContaining([{ podSelector: servers }, { podSelector: frontDoor }]),
    );
  });

  test("lets them to the namespace of a collector, at its port, and not to MLflow", () => {
    const all = policies(collector);
    const matchLabels = { "kubernetes.io/metadata.name": "observability" };
    const to = [{ namespaceSelector: { matchLabels } }];
    expect(all["front-door-traces"]?.egress).toEqual([
      { to, ports: [{ protocol: "TCP", port: 4318 }] },
    ]);
    expect(JSON.stringify(all["mlflow"])).not.toContain("front-door");
  });

  test("lets them to an address outside of the cluster, at its port", () => {
    const all = policies({ ...collector, endpoint: OUTSIDE, cidr: "192.0.2.7/32" }, {});
    expect(names(all)).toEqual(["inference-traces"]);
    expect(all["inference-traces"]?.egress).toEqual([
      { to: [{ ipBlock: { cidr: "192.0.2.7/32" } }], ports: [{ protocol: "TCP", port: 443 }] },
    ]);
  });
});
