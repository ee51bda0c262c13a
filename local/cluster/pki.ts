import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { output } from "./commands.ts";
import { network, nodeName } from "./options.ts";

interface Leaf {
  readonly name: string;
  readonly authority: "ca" | "front-proxy-ca";
  readonly subject: string;
  readonly names?: readonly string[];
}

/** Certificates of a cluster's parts. Whoever is in `system:masters` may do anything: the user and the API server. */
export function leaves(nodeAddress: string): readonly Leaf[] {
  const local = ["DNS:localhost", "IP:127.0.0.1", `IP:${nodeAddress}`];
  const api = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
  const apiNames = [...api, `kubernetes.default.svc.${network.domain}`].map(
    (name) => `DNS:${name}`,
  );
  const user = (name: string): Leaf => ({ name, authority: "ca", subject: `/CN=system:${name}` });
  return [
    {
      name: "apiserver",
      authority: "ca",
      subject: "/CN=kube-apiserver",
      names: [...apiNames, `IP:${network.apiServiceAddress}`, ...local],
    },
    { name: "apiserver-client", authority: "ca", subject: "/O=system:masters/CN=kube-apiserver" },
    { name: "front-proxy-client", authority: "front-proxy-ca", subject: "/CN=front-proxy-client" },
    { name: "etcd", authority: "ca", subject: "/CN=etcd", names: local },
    {
      name: "kubelet",
      authority: "ca",
      subject: `/O=system:nodes/CN=system:node:${nodeName}`,
      names: [`DNS:${nodeName}`, ...local],
    },
    { name: "admin", authority: "ca", subject: "/O=system:masters/CN=llmops-admin" },
    user("kube-controller-manager"),
    user("kube-scheduler"),
    user("kube-proxy"),
    { name: "agent", authority: "ca", subject: "/CN=llmops:agent" },
    { name: "prometheus", authority: "ca", subject: "/CN=llmops:prometheus" },
    {
      name: "prometheus-adapter",
      authority: "ca",
      subject: "/CN=llmops:prometheus-adapter",
      names: ["DNS:prometheus-adapter.kube-system.svc", ...local],
    },
  ];
}

const kubeconfigUsers = [
  "admin",
  "kubelet",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
  "agent",
  "prometheus-adapter",
] as const;

/** Makes what is missing of the cluster's authorities, certificates and kubeconfigs. */
export async function ensurePki(folder: string, nodeAddress: string): Promise<void> {
  const stamp = join(folder, "address");
  if (existsSync(stamp) && (await readFile(stamp, "utf8")) === nodeAddress) return;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await Promise.all([ensureAuthority(folder, "ca"), ensureAuthority(folder, "front-proxy-ca")]);
  await ensureServiceAccountKey(folder);
  await Promise.all(leaves(nodeAddress).map((leaf) => issue(folder, leaf)));
  for (const user of kubeconfigUsers) {
    const text = await kubeconfig(folder, user, `https://${nodeAddress}:${network.apiPort}`);
    await writeFile(join(folder, `${user}.kubeconfig`), text, { mode: 0o600 });
  }
  await writeFile(stamp, nodeAddress);
}

/** A kubeconfig with certificates inside, as JSON: a kubeconfig is YAML, and JSON is YAML. */
async function kubeconfig(folder: string, user: string, server: string): Promise<string> {
  const base64 = async (file: string): Promise<string> =>
    (await readFile(join(folder, file))).toString("base64");
  const cluster = { server, "certificate-authority-data": await base64("ca.crt") };
  const credentials = {
    "client-certificate-data": await base64(`${user}.crt`),
    "client-key-data": await base64(`${user}.key`),
  };
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": nodeName,
    clusters: [{ name: nodeName, cluster }],
    users: [{ name: user, user: credentials }],
    contexts: [{ name: nodeName, context: { cluster: nodeName, user } }],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

async function ensureAuthority(folder: string, name: string): Promise<void> {
  const certificate = join(folder, `${name}.crt`);
  if (existsSync(certificate)) return;
  await ellipticKey(join(folder, `${name}.key`));
  const constraints = [
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=critical,keyCertSign,cRLSign",
  ];
  await replace(certificate, async (target) => {
    const request = ["req", "-x509", "-new", "-key", join(folder, `${name}.key`), "-days", "3650"];
    const added = constraints.flatMap((constraint) => ["-addext", constraint]);
    await output("openssl", [...request, "-subj", `/CN=llmops ${name}`, ...added, "-out", target]);
  });
}

async function ensureServiceAccountKey(folder: string): Promise<void> {
  const publicKey = join(folder, "service-account.pub");
  if (existsSync(publicKey)) return;
  const key = join(folder, "service-account.key");
  await output("openssl", ["genrsa", "-out", key, "2048"]);
  await replace(publicKey, async (target) => {
    await output("openssl", ["rsa", "-in", key, "-pubout", "-out", target]);
  });
}

async function issue(folder: string, leaf: Leaf): Promise<void> {
  const file = (ending: string): string => join(folder, `${leaf.name}.${ending}`);
  const authority = join(folder, leaf.authority);
  const extensions = [
    "keyUsage=critical,digitalSignature,keyEncipherment",
    "extendedKeyUsage=serverAuth,clientAuth",
    ...(leaf.names === undefined ? [] : [`subjectAltName=${leaf.names.join(",")}`]),
  ];
  await writeFile(file("ext"), extensions.join("\n"));
  await ellipticKey(file("key"));
  await output("openssl", [
    ...["req", "-new", "-key", file("key"), "-subj", leaf.subject, "-out", file("csr")],
  ]);
  await output("openssl", [
    ...["x509", "-req", "-in", file("csr"), "-CA", `${authority}.crt`, "-CAkey"],
    ...[`${authority}.key`, "-days", "3650", "-extfile", file("ext"), "-out", file("crt")],
    ...["-set_serial", `0x${Buffer.from(leaf.name).toString("hex").slice(0, 16)}`],
  ]);
  await Promise.all([rm(file("csr")), rm(file("ext"))]);
}

async function ellipticKey(file: string): Promise<void> {
  await output("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file]);
}

async function replace(file: string, write: (target: string) => Promise<void>): Promise<void> {
  await write(`${file}.partial`);
  await rename(`${file}.partial`, file);
}
