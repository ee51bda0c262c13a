import { join } from "node:path";

import { corednsImage, pauseImage } from "./configs.ts";
import { controlPlane } from "./controlPlane.ts";
import { inside, network, nodeName } from "./options.ts";
import { configFile, flags, pki } from "./nodeProcess.ts";
import type { NodeProcess, ProcessInput } from "./nodeProcess.ts";

/** The node's processes, in the order in which they may start. */
export function nodeProcesses(input: ProcessInput): NodeProcess[] {
  const debian = (path: string): string => join(input.tools.debsRoot, path);
  return [
    {
      // What no tag names any more was replaced by a later build; nothing runs yet that could pull it.
      name: "registry-clean-up",
      command: [
        debian("usr/bin/docker-registry"),
        ...["garbage-collect", "--delete-untagged", configFile("registry.json")],
      ],
      after: [],
      once: "tried",
    },
    {
      name: "registry",
      command: [debian("usr/bin/docker-registry"), "serve", configFile("registry.json")],
      after: ["registry-clean-up"],
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
        once: "needed",
      };
    }),
    ...controlPlane(input),
    ...nodeAgents(input),
    ...metricsProcesses(input),
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
