import { join } from "node:path";

import { corednsImage, pauseImage } from "./configs.ts";
import { inside, network, nodeName } from "./options.ts";
import type { ClusterTools } from "./options.ts";

/** How to tell that a process does its work. */
export type Probe =
  | { readonly kind: "tcp"; readonly port: number }
  | { readonly kind: "socket"; readonly path: string }
  | { readonly kind: "https"; readonly port: number; readonly path: string };

/** One process of the node. */
export interface NodeProcess {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Processes that must be ready before. */
  readonly after: readonly string[];
  /** Without one, a process is ready as soon as it runs; a process that runs once is ready when it has ended well. */
  readonly ready?: Probe;
  /** Runs once, again only after a failure. Others run for ever and are started again whenever they end. */
  readonly once?: boolean;
}

/** What the process table depends on. */
export interface ProcessInput {
  readonly tools: ClusterTools;
  readonly nodeAddress: string;
  /** Program and script of the node's own agent. */
  readonly agent: readonly [string, ...string[]];
  /** Image archives, by image name. */
  readonly images: Readonly<Record<string, string>>;
}

/** The node's processes, in the order in which they may start. */
export function nodeProcesses(input: ProcessInput): NodeProcess[] {
  const debian = (path: string): string => join(input.tools.debsRoot, path);
  return [
    {
      name: "registry",
      command: [debian("usr/bin/docker-registry"), "serve", configFile("registry.json")],
      after: [],
      ready: { kind: "tcp", port: network.registryPort },
    },
    {
      name: "containerd",
      command: [debian("usr/bin/containerd"), "--config", configFile("containerd.toml")],
      after: [],
      ready: { kind: "socket", path: inside.containerdSocket },
    },
    ...[pauseImage, corednsImage].map((image, position): NodeProcess => {
      const archive = input.images[image];
      if (archive === undefined) throw new Error(`no archive of ${image}`);
      const ctr = [debian("usr/bin/ctr"), "--address", inside.containerdSocket] as const;
      const load = ["--namespace", "k8s.io", "images", "import", archive];
      return {
        name: `image-${position === 0 ? "pause" : "coredns"}`,
        command: [...ctr, ...load],
        after: ["containerd"],
        once: true,
      };
    }),
    ...controlPlane(input),
    ...nodeAgents(input),
    ...metricsProcesses(input),
  ];
}

function controlPlane({ tools, nodeAddress }: ProcessInput): NodeProcess[] {
  return [
    {
      name: "etcd",
      command: [tools.hyperkube, "etcd", ...flags(etcdFlags())],
      after: [],
      ready: { kind: "tcp", port: network.etcdPort },
    },
    {
      name: "kube-apiserver",
      command: [tools.hyperkube, "kube-apiserver", ...flags(apiServerFlags(nodeAddress))],
      after: ["etcd"],
      ready: { kind: "https", port: network.apiPort, path: "/readyz" },
    },
    {
      name: "kube-controller-manager",
      command: [tools.hyperkube, "kube-controller-manager", ...flags(controllerManagerFlags())],
      after: ["kube-apiserver"],
    },
    {
      name: "kube-scheduler",
      command: [
        ...([tools.hyperkube, "kube-scheduler"] as const),
        ...flags({
          ...asUser("kube-scheduler"),
          "bind-address": "127.0.0.1",
          "leader-elect": "false",
        }),
      ],
      after: ["kube-apiserver"],
    },
    {
      name: "objects",
      command: [
        ...([
          tools.hyperkube,
          "kubectl",
          "--kubeconfig",
          pki("admin.kubeconfig"),
          "apply",
        ] as const),
        ...["--server-side", "--force-conflicts", "-f", configFile("objects.json")],
      ],
      after: ["kube-apiserver"],
      once: true,
    },
  ];
}

function nodeAgents({ tools, nodeAddress, agent }: ProcessInput): NodeProcess[] {
  const kubelet = {
    config: configFile("kubelet.json"),
    kubeconfig: pki("kubelet.kubeconfig"),
    "root-dir": inside.kubelet,
    "cert-dir": join(inside.kubelet, "pki"),
    "hostname-override": nodeName,
    "node-ip": nodeAddress,
  };
  return [
    {
      name: "kubelet",
      command: [tools.hyperkube, "kubelet", ...flags(kubelet)],
      after: ["kube-apiserver", "containerd", "image-pause"],
      ready: { kind: "tcp", port: 10248 },
    },
    {
      name: "kube-proxy",
      command: [tools.hyperkube, "kube-proxy", `--config=${configFile("kube-proxy.json")}`],
      after: ["kube-apiserver"],
    },
    {
      name: "agent",
      command: [...agent, pki("agent.kubeconfig")],
      after: ["kube-apiserver", "objects"],
    },
  ];
}

function metricsProcesses({ tools }: ProcessInput): NodeProcess[] {
  const prometheus = {
    "config.file": configFile("prometheus.json"),
    "storage.tsdb.path": inside.prometheus,
    "storage.tsdb.retention.time": "2h",
    "web.listen-address": `127.0.0.1:${network.prometheusPort}`,
  };
  const adapter = {
    config: configFile("prometheus-adapter.json"),
    "prometheus-url": `http://127.0.0.1:${network.prometheusPort}`,
    "metrics-relist-interval": "5s",
    "metrics-max-age": "1m",
    "secure-port": String(network.adapterPort),
    "tls-cert-file": pki("prometheus-adapter.crt"),
    "tls-private-key-file": pki("prometheus-adapter.key"),
    "lister-kubeconfig": pki("prometheus-adapter.kubeconfig"),
    "authentication-kubeconfig": pki("prometheus-adapter.kubeconfig"),
    "authorization-kubeconfig": pki("prometheus-adapter.kubeconfig"),
  };
  return [
    {
      name: "prometheus",
      command: [join(tools.debsRoot, "usr/bin/prometheus"), ...flags(prometheus)],
      after: ["objects"],
      ready: { kind: "tcp", port: network.prometheusPort },
    },
    {
      name: "prometheus-adapter",
      command: [tools.prometheusAdapter, ...flags(adapter)],
      after: ["prometheus"],
    },
  ];
}

/** etcd keeps a throw-away state, so it need not wait for the disk. */
function etcdFlags(): Record<string, string> {
  const client = `https://127.0.0.1:${network.etcdPort}`;
  const peer = "http://127.0.0.1:2380";
  return {
    name: nodeName,
    "data-dir": inside.etcd,
    "listen-client-urls": client,
    "advertise-client-urls": client,
    "listen-peer-urls": peer,
    "initial-advertise-peer-urls": peer,
    "initial-cluster": `${nodeName}=${peer}`,
    "client-cert-auth": "true",
    "trusted-ca-file": pki("ca.crt"),
    "cert-file": pki("etcd.crt"),
    "key-file": pki("etcd.key"),
    "unsafe-no-fsync": "true",
    "log-level": "warn",
  };
}

function apiServerFlags(nodeAddress: string): Record<string, string> {
  return {
    "advertise-address": nodeAddress,
    "secure-port": String(network.apiPort),
    "etcd-servers": `https://127.0.0.1:${network.etcdPort}`,
    "etcd-cafile": pki("ca.crt"),
    "etcd-certfile": pki("apiserver-client.crt"),
    "etcd-keyfile": pki("apiserver-client.key"),
    "service-cluster-ip-range": network.serviceRange,
    "authorization-mode": "Node,RBAC",
    "enable-admission-plugins": "NodeRestriction",
    "allow-privileged": "true",
    "client-ca-file": pki("ca.crt"),
    "tls-cert-file": pki("apiserver.crt"),
    "tls-private-key-file": pki("apiserver.key"),
    "kubelet-client-certificate": pki("apiserver-client.crt"),
    "kubelet-client-key": pki("apiserver-client.key"),
    "kubelet-certificate-authority": pki("ca.crt"),
    "kubelet-preferred-address-types": "InternalIP",
    "service-account-issuer": `https://kubernetes.default.svc.${network.domain}`,
    "service-account-key-file": pki("service-account.pub"),
    "service-account-signing-key-file": pki("service-account.key"),
    "requestheader-client-ca-file": pki("front-proxy-ca.crt"),
    "requestheader-allowed-names": "front-proxy-client",
    "requestheader-extra-headers-prefix": "X-Remote-Extra-",
    "requestheader-group-headers": "X-Remote-Group",
    "requestheader-username-headers": "X-Remote-User",
    "proxy-client-cert-file": pki("front-proxy-client.crt"),
    "proxy-client-key-file": pki("front-proxy-client.key"),
    "enable-aggregator-routing": "true",
    profiling: "false",
  };
}

function controllerManagerFlags(): Record<string, string> {
  return {
    ...asUser("kube-controller-manager"),
    "bind-address": "127.0.0.1",
    "root-ca-file": pki("ca.crt"),
    "service-account-private-key-file": pki("service-account.key"),
    "use-service-account-credentials": "true",
    "service-cluster-ip-range": network.serviceRange,
    "horizontal-pod-autoscaler-sync-period": "5s",
    "leader-elect": "false",
    profiling: "false",
  };
}

function asUser(name: string): Record<string, string> {
  const file = pki(`${name}.kubeconfig`);
  return { kubeconfig: file, "authentication-kubeconfig": file, "authorization-kubeconfig": file };
}

function flags(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}

function pki(file: string): string {
  return join(inside.pki, file);
}

function configFile(file: string): string {
  return join(inside.config, file);
}
