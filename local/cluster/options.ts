import { join } from "node:path";

/** Executables that the toolchain built or found. */
export interface ClusterTools {
  /** etcd, control plane, node agents and kubectl in one file. */
  readonly hyperkube: string;
  readonly coredns: string;
  readonly pause: string;
  readonly prometheusAdapter: string;
  /** Root of the unpacked Debian packages, see `debianPackages`. */
  readonly debsRoot: string;
}

/** What a cluster needs to know to start. */
export interface ClusterOptions {
  /** Names everything that the machine can see of this cluster: the link and the control groups. */
  readonly instance: string;
  /** Folder of this instance's state: `.local` of the checkout. */
  readonly stateDir: string;
  /** Folder of the image stores; they outlive the cluster. */
  readonly slotDir: string;
  /** The folder `local/` of this checkout, with the programs that run inside the cluster's namespaces. */
  readonly sourceDir: string;
  readonly tools: ClusterTools;
}

/** Addresses of the one link between the machine and its cluster. */
export interface Link {
  /** Name of the machine's end. */
  readonly name: string;
  readonly hostAddress: string;
  readonly nodeAddress: string;
}

/** A running cluster. */
export interface ClusterHandle {
  readonly kubeconfig: string;
  readonly context: string;
  readonly nodeName: string;
  readonly nodeAddress: string;
  /** Registry name that builder and cluster resolve. */
  readonly registry: string;
  /** The folder behind `/mnt/llamafactory`. */
  readonly volumesDir: string;
}

/** A running image builder. */
export interface BuilderHandle {
  readonly dockerHost: string;
  /** The client that fits the engine. */
  readonly dockerClient: string;
}

/** Names and ranges that are the same in every instance: each lives in a network namespace of its own. */
export const network = {
  podRange: "10.244.0.0/24",
  serviceRange: "10.96.0.0/16",
  apiServiceAddress: "10.96.0.1",
  dnsAddress: "10.96.0.10",
  domain: "cluster.local",
  apiPort: 6443,
  kubeletPort: 10250,
  adapterPort: 6444,
  prometheusPort: 9090,
  etcdPort: 2379,
  registryPort: 5000,
} as const;

/** Name of the node and of the kubeconfig's context. */
export const nodeName = "llmops-local";

/** Host part of the registry's name. */
export const registryHost = "registry.llmops.local";

/** Name under which images are pushed and pulled. */
export const registry = `${registryHost}:${network.registryPort}`;

/** Where the volumes are inside the cluster. */
export const volumesMount = "/mnt/llamafactory";

/** Folder that the machine's cgroup hierarchies get for an instance's pods and builds. */
export function cgroupName(instance: string): string {
  return `llmops-${instance}`;
}

/** Folders and files of an instance, as the machine sees them. */
export interface ClusterPaths {
  readonly run: string;
  readonly log: string;
  readonly pki: string;
  readonly config: string;
  readonly state: string;
  readonly volumes: string;
  readonly kubeconfig: string;
  /** What the node program is told. */
  readonly plan: string;
  /** Addresses that this instance has chosen. */
  readonly link: string;
  readonly clusterAnchor: string;
  readonly builderAnchor: string;
}

/** Where an instance keeps what. */
export function clusterPaths(stateDir: string): ClusterPaths {
  const run = join(stateDir, "run");
  const state = join(stateDir, "state");
  return {
    run,
    log: join(stateDir, "log"),
    pki: join(stateDir, "pki"),
    config: join(stateDir, "config"),
    state,
    volumes: join(state, "volumes"),
    kubeconfig: join(stateDir, "kubeconfig"),
    plan: join(run, "plan.json"),
    link: join(run, "link.json"),
    clusterAnchor: join(run, "cluster.anchor.json"),
    builderAnchor: join(run, "builder.anchor.json"),
  };
}

/** Folders inside the cluster's mount namespace: on a tmpfs of its own, short enough for sockets. */
export const inside = {
  root: "/run/llmops",
  config: "/run/llmops/config",
  pki: "/run/llmops/pki",
  log: "/run/llmops/log",
  tmp: "/run/llmops/tmp",
  etcd: "/run/llmops/etcd",
  kubelet: "/run/llmops/kubelet",
  containerd: "/run/llmops/containerd",
  registry: "/run/llmops/registry",
  images: "/run/llmops/images",
  containerdSocket: "/run/containerd/containerd.sock",
  podLogs: "/run/llmops/pod-logs",
  prometheus: "/run/llmops/prometheus",
  targets: "/run/llmops/targets/pods.json",
  cniConfig: "/run/llmops/config/cni",
} as const;
