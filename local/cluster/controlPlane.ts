import { inside, network, nodeName } from "./options.ts";
import { asUser, configFile, flags, pki } from "./nodeProcess.ts";
import type { NodeProcess, ProcessInput } from "./nodeProcess.ts";

/** The processes of the control plane, and the one that makes the objects of a bare cluster. */
export function controlPlane({ tools, nodeAddress }: ProcessInput): NodeProcess[] {
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
      once: "needed",
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
