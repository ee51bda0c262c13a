import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";
import { at, isObject, objectAt, stringAt, type Json, type Props } from "../values.ts";

/** How to reach an API server, and as whom. */
export interface Cluster {
  readonly server: string;
  /** The namespace of the context, if it names one. */
  readonly namespace: string | undefined;
  readonly tls: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly rejectUnauthorized: boolean;
    readonly servername?: string;
  };
  readonly headers: Record<string, string>;
}

/** Which cluster is meant, in the words of the provider's settings. */
export interface Choice {
  /** The contents of a kubeconfig, or the path of one. */
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly cluster: string | undefined;
}

interface Loaded {
  readonly config: Props;
  /** Relative paths in a kubeconfig start from its folder. */
  readonly folder: string;
}

function parsed(text: string): Props | undefined {
  const value = parse(text) as Json;
  return isObject(value) ? value : undefined;
}

async function load(kubeconfig: string | undefined): Promise<Loaded> {
  if (kubeconfig !== undefined && (kubeconfig.includes("\n") || kubeconfig.startsWith("{"))) {
    const config = parsed(kubeconfig);
    if (config === undefined) {
      throw new Error("the provider's kubeconfig is not a kubeconfig in YAML or JSON");
    }
    return { config, folder: process.cwd() };
  }
  const fromEnvironment = process.env["KUBECONFIG"]?.split(":").find((part) => part !== "");
  const file = (kubeconfig ?? fromEnvironment ?? join(homedir(), ".kube", "config")).replace(
    /^~(?=\/)/,
    homedir(),
  );
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new Error(`cannot read the kubeconfig ${file}`, { cause: error });
  }
  const config = parsed(text);
  if (config === undefined) {
    throw new Error(`${file} is not a kubeconfig`);
  }
  return { config, folder: dirname(file) };
}

function entry(config: Props, list: string, name: string | undefined, member: string): Props {
  const items = config[list];
  const found = (Array.isArray(items) ? items : []).find((item) => at(item, "name") === name);
  if (!isObject(found)) {
    throw new Error(`the kubeconfig has no ${member} named "${name ?? ""}"`);
  }
  return objectAt(found, member);
}

async function material(
  loaded: Loaded,
  owner: Props,
  name: string,
): Promise<Record<string, string>> {
  const key = { "certificate-authority": "ca", "client-certificate": "cert", "client-key": "key" }[
    name
  ];
  const data = stringAt(owner, `${name}-data`);
  const file = stringAt(owner, name);
  if (key === undefined || (data === undefined && file === undefined)) {
    return {};
  }
  if (data !== undefined) {
    return { [key]: Buffer.from(data, "base64").toString("utf8") };
  }
  const path = file ?? "";
  const absolute = isAbsolute(path) ? path : join(loaded.folder, path);
  return { [key]: await readFile(absolute, "utf8") };
}

async function execCredential(exec: Props): Promise<Props> {
  const list = (name: string): Json[] => {
    const value = exec[name];
    return Array.isArray(value) ? value : [];
  };
  const added = list("env").map((item) => [at(item, "name"), at(item, "value")]);
  const { stdout } = await promisify(execFile)(
    stringAt(exec, "command") ?? "",
    list("args").map(String),
    {
      env: {
        ...process.env,
        ...(Object.fromEntries(added) as Record<string, string>),
        KUBERNETES_EXEC_INFO: JSON.stringify({
          apiVersion: exec["apiVersion"],
          kind: "ExecCredential",
          spec: { interactive: false },
        }),
      },
    },
  );
  return objectAt(JSON.parse(stdout) as Props, "status");
}

async function authorization(loaded: Loaded, user: Props): Promise<string | undefined> {
  const file = stringAt(user, "tokenFile");
  const token = file === undefined ? stringAt(user, "token") : await readFile(file, "utf8");
  if (token !== undefined) {
    return `Bearer ${token.trim()}`;
  }
  const name = stringAt(user, "username");
  if (name !== undefined) {
    const pair = `${name}:${stringAt(user, "password") ?? ""}`;
    return `Basic ${Buffer.from(pair).toString("base64")}`;
  }
  return undefined;
}

/** Reads the kubeconfig and says how to reach the chosen cluster. */
export async function chosenCluster(choice: Choice): Promise<Cluster> {
  const loaded = await load(choice.kubeconfig);
  const { config } = loaded;
  const contextName = choice.context ?? stringAt(config, "current-context");
  const context = entry(config, "contexts", contextName, "context");
  const clusterName = choice.cluster ?? stringAt(context, "cluster");
  const cluster = entry(config, "clusters", clusterName, "cluster");
  const userName = stringAt(context, "user");
  let user = userName === undefined ? {} : entry(config, "users", userName, "user");
  if (isObject(user["auth-provider"])) {
    throw new Error("the kubeconfig uses auth-provider, which Kubernetes removed: use exec");
  }
  if (isObject(user["exec"])) {
    const { token, clientCertificateData, clientKeyData } = await execCredential(user["exec"]);
    const encoded = (value: Json | undefined): Json =>
      typeof value === "string" ? Buffer.from(value).toString("base64") : null;
    user = {
      token: token ?? null,
      "client-certificate-data": encoded(clientCertificateData),
      "client-key-data": encoded(clientKeyData),
    };
  }
  const bearer = await authorization(loaded, user);
  const servername = stringAt(cluster, "tls-server-name");
  return {
    server: (stringAt(cluster, "server") ?? "").replace(/\/$/, ""),
    namespace: stringAt(context, "namespace"),
    tls: {
      ...(await material(loaded, cluster, "certificate-authority")),
      ...(await material(loaded, user, "client-certificate")),
      ...(await material(loaded, user, "client-key")),
      ...(servername === undefined ? {} : { servername }),
      rejectUnauthorized: cluster["insecure-skip-tls-verify"] !== true,
    },
    headers: bearer === undefined ? {} : { authorization: bearer },
  };
}
