import { join } from "node:path";

import { leastFreeGib } from "../toolchain/disk.ts";
import { cgroupName, inside, network, nodeName, registry } from "./options.ts";
import { adapterConfig, prometheusConfig } from "./metrics.ts";

/** What the configuration files depend on. */
export interface ConfigInput {
  readonly instance: string;
  readonly nodeAddress: string;
  readonly debsRoot: string;
}

/** Full name of the sandbox image: never pulled, always imported. */
export const pauseImage = "registry.k8s.io/pause:3.10.1";

/** Full name of the DNS server's image. */
export const corednsImage = "registry.k8s.io/coredns/coredns:v1.12.4";

/** Every configuration file of the node, by its path below the configuration folder. */
export function configFiles(input: ConfigInput): Map<string, string> {
  return new Map([
    ["containerd.toml", containerdToml(input.debsRoot)],
    ["certs.d/_default/hosts.toml", mirrorToml()],
    ["cni/10-bridge.conflist", json(cniConfig())],
    ["kubelet.json", json(kubeletConfig(input))],
    ["kube-proxy.json", json(kubeProxyConfig())],
    ["registry.json", json(registryConfig())],
    ["prometheus.json", json(prometheusConfig(input.nodeAddress))],
    ["prometheus-adapter.json", json(adapterConfig())],
    ["hosts", hostsFile(input.nodeAddress)],
    ["resolv.conf", `search ${network.domain}\nnameserver ${network.dnsAddress}\n`],
  ]);
}

/** Names that the node and the image builder resolve without a name server. */
export function hostsFile(nodeAddress: string): string {
  const name = registry.split(":")[0] ?? registry;
  return `127.0.0.1 localhost\n::1 localhost\n${nodeAddress} ${nodeName} ${name}\n`;
}

/**
 * containerd: pulls every name from the local registry, and never lowers a process's out-of-memory score, which root
 * may not do on machines that lack CAP_SYS_RESOURCE.
 */
export function containerdToml(debsRoot: string): string {
  const text = JSON.stringify;
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = ${text(inside.containerd)}
state = "/run/containerd"

[grpc]
address = ${text(inside.containerdSocket)}

[plugins."io.containerd.internal.v1.opt"]
path = ${text(join(inside.root, "opt"))}

[${cri}]
sandbox_image = ${text(pauseImage)}
restrict_oom_score_adj = true
max_concurrent_downloads = 4

[${cri}.cni]
bin_dir = ${text(join(debsRoot, "usr/lib/cni"))}
conf_dir = ${text(inside.cniConfig)}

[${cri}.registry]
config_path = ${text(join(inside.config, "certs.d"))}

[${cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[${cri}.containerd.runtimes.runc.options]
BinaryName = ${text(join(debsRoot, "usr/sbin/runc"))}
SystemdCgroup = false
`;
}

function mirrorToml(): string {
  const server = JSON.stringify(`http://127.0.0.1:${network.registryPort}`);
  return `server = ${server}\n\n[host.${server}]\ncapabilities = ["pull", "resolve"]\n`;
}

function cniConfig(): unknown {
  const ipam = {
    type: "host-local",
    dataDir: join(inside.root, "cni"),
    ranges: [[{ subnet: network.podRange }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const bridge = { type: "bridge", bridge: "cni0", isGateway: true, hairpinMode: true, ipam };
  return { cniVersion: "1.0.0", name: "llmops", plugins: [bridge] };
}

/**
 * The kubelet. Control groups are those of version 1 or 2, always with the cgroupfs driver, for there is no systemd to
 * ask. Version 2 is untested: the machines this was written on have version 1.
 */
function kubeletConfig({ instance, nodeAddress }: ConfigInput): unknown {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    containerRuntimeEndpoint: `unix://${inside.containerdSocket}`,
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${cgroupName(instance)}`,
    failCgroupV1: false,
    failSwapOn: false,
    address: nodeAddress,
    healthzBindAddress: "127.0.0.1",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(inside.pki, "ca.crt") },
    },
    authorization: { mode: "Webhook" },
    tlsCertFile: join(inside.pki, "kubelet.crt"),
    tlsPrivateKeyFile: join(inside.pki, "kubelet.key"),
    clusterDNS: [network.dnsAddress],
    clusterDomain: network.domain,
    resolvConf: "/etc/resolv.conf",
    evictionHard: {
      "memory.available": "200Mi",
      "nodefs.available": `${leastFreeGib}Gi`,
      "imagefs.available": `${leastFreeGib}Gi`,
      "nodefs.inodesFree": "1%",
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    makeIPTablesUtilChains: false,
    podLogsDir: inside.podLogs,
    registryPullQPS: 0,
    serializeImagePulls: false,
    syncFrequency: "10s",
    volumePluginDir: join(inside.kubelet, "volume-plugins"),
  };
}

/** Connection tracking limits are the whole machine's, so they are left alone. */
function kubeProxyConfig(): unknown {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    clientConnection: { kubeconfig: join(inside.pki, "kube-proxy.kubeconfig") },
    hostnameOverride: nodeName,
    mode: "nftables",
    clusterCIDR: network.podRange,
    nodePortAddresses: ["primary"],
    healthzBindAddress: "127.0.0.1:10256",
    metricsBindAddress: "127.0.0.1:10249",
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  };
}

function registryConfig(): unknown {
  return {
    version: "0.1",
    log: { level: "warn" },
    storage: { filesystem: { rootdirectory: inside.registry }, delete: { enabled: true } },
    http: { addr: `0.0.0.0:${network.registryPort}` },
  };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
