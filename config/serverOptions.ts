import list from "../images/inference/server-options.json";
import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { ModelSettings } from "./models";
import { nearest } from "./nearest";
import type { Settings } from "./schema";

type ServerName = ModelSettings["server"];
type Value = ModelSettings["options"][string];

/** What is known of a server's options. */
interface KnownOptions {
  /** The server and its release, as a fault names it. */
  readonly title: string;
  /** Type by option; with a boolean one of vLLM goes its opposite, `no-<option>`. */
  readonly types: ReadonlyMap<string, string>;
  /** Options that the platform sets itself, and what to use instead. */
  readonly owned: Readonly<Record<string, string>>;
  /** Owned options whose value is nothing to show. */
  readonly secret: readonly string[];
  /** How the words of an option are joined. */
  readonly joint: "-" | "_";
}

const vllmTypes = Object.entries(list.vllm.options);

const PLAIN_HTTP =
  "nothing: probes, metrics and clients in the cluster use plain HTTP on port 8000";

const SERVERS = {
  vllm: {
    title: `vllm serve ${list.vllm.version}`,
    types: new Map([
      ...vllmTypes,
      ...vllmTypes.flatMap(([name, type]): [string, string][] =>
        type === "boolean" ? [[`no-${name}`, "boolean"]] : [],
      ),
    ]),
    owned: {
      model: "source",
      "served-model-name": "servedName",
      config: "options",
      host: PLAIN_HTTP,
      port: PLAIN_HTTP,
      uds: PLAIN_HTTP,
      "ssl-keyfile": PLAIN_HTTP,
      "ssl-certfile": PLAIN_HTTP,
      "ssl-ca-certs": PLAIN_HTTP,
      grpc: PLAIN_HTTP,
      headless: PLAIN_HTTP,
      "api-key": "the secret VLLM_API_KEY",
      "hf-token": "source.gated and the secret HF_TOKEN",
      "enable-lora": "adapters",
      "lora-modules": "adapters",
      "shutdown-timeout": "nothing: it goes with the pod's grace period",
      "disable-access-log-for-endpoints": "nothing: probes and scrapes are left out of the log",
      "otlp-traces-endpoint": "tracing",
      "disable-log-stats": "nothing: the autoscaler and the dashboards read the figures",
    },
    secret: ["api-key", "hf-token"],
    joint: "-",
  },
  llamafactory: {
    title: `llamafactory-cli api ${list.llamafactory.version}`,
    types: new Map(Object.entries(list.llamafactory.options)),
    owned: {
      model_name_or_path: "source",
      adapter_name_or_path: "adapters, with server vllm",
      infer_backend: "nothing: it is vllm",
      hf_hub_token: "source.gated and the secret HF_TOKEN",
      ms_hub_token: "source",
      om_hub_token: "source",
    },
    secret: ["hf_hub_token", "ms_hub_token", "om_hub_token"],
    joint: "_",
  },
} as const satisfies Record<ServerName, KnownOptions>;

/** Options of `vllm serve` that are switched on by their name and off by `no-<name>`. */
export function hasOpposite(option: string): boolean {
  return SERVERS.vllm.types.get(option) === "boolean";
}

/** What a value of a type looks like, and whether one is of it. Other types take anything. */
const VALUES: Readonly<Record<string, readonly [string, (value: Value) => boolean]>> = {
  boolean: ["true | false", (value) => typeof value === "boolean"],
  switch: ["true | false", (value) => typeof value === "boolean"],
  integer: ["a whole number", (value) => Number.isInteger(value)],
  number: ["a number", (value) => typeof value === "number"],
  string: ["text", (value) => typeof value !== "boolean"],
};

function unknownFault(key: string, name: string, value: Value, server: KnownOptions): Fault {
  const joined = name.replace(/[-_]/g, server.joint);
  const meant = server.types.has(joined) ? joined : nearest(joined, server.types.keys());
  const path = `${key}.${name}`;
  return {
    key: path,
    got: JSON.stringify(value),
    allowed: `an option of ${server.title}${meant === undefined ? "" : `, such as ${meant}`}`,
    fix:
      meant === undefined
        ? removeCommand(path)
        : `${removeCommand(path)} && ${setCommand(`${key}.${meant}`, String(value))}`,
  };
}

function optionFault(key: string, name: string, value: Value, server: KnownOptions): Fault[] {
  const path = `${key}.${name}`;
  const owner = server.owned[name];
  if (owner !== undefined) {
    return [
      {
        key: path,
        got: server.secret.includes(name) ? "a value (not shown)" : JSON.stringify(value),
        allowed: `not set: the platform sets it; use ${owner}`,
        fix: removeCommand(path),
      },
    ];
  }
  const type = server.types.get(name);
  if (type === undefined) return [unknownFault(key, name, value, server)];
  const [allowed, fits] = VALUES[type] ?? ["anything", () => true];
  if (fits(value)) return [];
  return [
    { key: path, got: JSON.stringify(value), allowed, fix: setCommand(path, `<${allowed}>`) },
  ];
}

/** Faults of options that the server in the image does not know, or that the platform sets itself. */
export function optionFaults({ models }: Pick<Settings, "models">): Fault[] {
  return models.flatMap(({ server, options }, index) =>
    Object.entries(options).flatMap(([name, value]) =>
      optionFault(`models[${String(index)}].options`, name, value, SERVERS[server]),
    ),
  );
}
