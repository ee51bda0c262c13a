import { readFileSync } from "node:fs";

import { corednsImage } from "./configs.ts";
import { network } from "./options.ts";

/** A Kubernetes object. */
export type KubernetesObject = Readonly<Record<string, unknown>>;

const RBAC = "rbac.authorization.k8s.io";
const SYSTEM = "kube-system";

/** What a bare cluster lacks: DNS, and the APIs of resource and custom metrics with the rights they need. */
export function clusterObjects(input: { nodeAddress: string; caFile: string }): KubernetesObject[] {
  const caBundle = readFileSync(input.caFile).toString("base64");
  return [...dns(), ...metricsApis(input.nodeAddress, caBundle), ...rights()];
}

const COREFILE = `.:53 {
    errors
    health
    ready
    kubernetes ${network.domain} in-addr.arpa ip6.arpa {
        pods insecure
        ttl 5
    }
    prometheus :9153
    cache 5
    loadbalance
}
`;

function dns(): KubernetesObject[] {
  const labels = { "k8s-app": "kube-dns" };
  const metadata = { name: "coredns", namespace: SYSTEM };
  const http = (path: string, port: number): object => ({ httpGet: { path, port } });
  const container = {
    name: "coredns",
    image: corednsImage,
    imagePullPolicy: "Never",
    args: ["-conf", "/etc/coredns/Corefile"],
    ports: [
      { name: "dns", containerPort: 53, protocol: "UDP" },
      { name: "dns-tcp", containerPort: 53, protocol: "TCP" },
    ],
    resources: { requests: { cpu: "50m", memory: "40Mi" }, limits: { memory: "170Mi" } },
    readinessProbe: { ...http("/ready", 8181), periodSeconds: 1 },
    livenessProbe: { ...http("/health", 8080), initialDelaySeconds: 30 },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { add: ["NET_BIND_SERVICE"], drop: ["ALL"] },
    },
    volumeMounts: [{ name: "config", mountPath: "/etc/coredns", readOnly: true }],
  };
  const spec = {
    priorityClassName: "system-cluster-critical",
    serviceAccountName: "coredns",
    dnsPolicy: "Default",
    containers: [container],
    volumes: [{ name: "config", configMap: { name: "coredns" } }],
  };
  const ports = ["UDP", "TCP"].map((protocol) => ({
    name: protocol === "UDP" ? "dns" : "dns-tcp",
    port: 53,
    protocol,
  }));
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    { apiVersion: "v1", kind: "ConfigMap", metadata, data: { Corefile: COREFILE } },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { ...metadata, labels },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kube-dns", namespace: SYSTEM, labels },
      spec: { clusterIP: network.dnsAddress, selector: labels, ports },
    },
  ];
}

/** The adapter is a process of the node, so its Service has no pods to select but the node's address. */
function metricsApis(nodeAddress: string, caBundle: string): KubernetesObject[] {
  const service = { name: "prometheus-adapter", namespace: SYSTEM };
  const api = (group: string, version: string, versionPriority: number): KubernetesObject => ({
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: `${version}.${group}` },
    spec: { service, group, version, caBundle, groupPriorityMinimum: 100, versionPriority },
  });
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: service,
      spec: { ports: [{ name: "https", port: 443, targetPort: network.adapterPort }] },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "prometheus-adapter-node",
        namespace: SYSTEM,
        labels: { "kubernetes.io/service-name": service.name },
      },
      addressType: "IPv4",
      ports: [{ name: "https", port: network.adapterPort, protocol: "TCP" }],
      endpoints: [{ addresses: [nodeAddress], conditions: { ready: true } }],
    },
    api("metrics.k8s.io", "v1beta1", 100),
    api("custom.metrics.k8s.io", "v1beta1", 100),
    api("custom.metrics.k8s.io", "v1beta2", 200),
  ];
}

function rights(): KubernetesObject[] {
  const watch = ["get", "list", "watch"];
  const account = { kind: "ServiceAccount", namespace: SYSTEM };
  const autoscaler = { ...account, name: "horizontal-pod-autoscaler" };
  const user = (name: string): object => ({ kind: "User", name: `llmops:${name}`, apiGroup: RBAC });
  const adapter = user("prometheus-adapter");
  return [
    ...grant("llmops:coredns", { ...account, name: "coredns" }, [
      rule([""], ["services", "pods", "namespaces"], watch),
      rule(["discovery.k8s.io"], ["endpointslices"], watch),
    ]),
    ...grant("llmops:agent", user("agent"), [
      rule([""], ["pods", "namespaces"], watch),
      rule(["networking.k8s.io"], ["networkpolicies"], watch),
    ]),
    ...grant("llmops:prometheus", user("prometheus"), [rule([""], ["nodes/metrics"], ["get"])]),
    ...grant("llmops:prometheus-adapter", adapter, [
      rule([""], ["pods", "nodes", "namespaces", "services"], watch),
    ]),
    ...grant("llmops:custom-metrics-reader", autoscaler, [
      rule(["custom.metrics.k8s.io"], ["*"], ["get", "list"]),
    ]),
    binding("ClusterRoleBinding", "llmops:adapter-delegator", adapter, {
      kind: "ClusterRole",
      name: "system:auth-delegator",
    }),
    binding("RoleBinding", "llmops:adapter-authentication", adapter, {
      kind: "Role",
      name: "extension-apiserver-authentication-reader",
    }),
  ];
}

function rule(apiGroups: string[], resources: string[], verbs: string[]): object {
  return { apiGroups, resources, verbs };
}

function grant(name: string, subject: object, rules: readonly object[]): KubernetesObject[] {
  const role = { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata: { name }, rules };
  return [role, binding("ClusterRoleBinding", name, subject, { kind: "ClusterRole", name })];
}

function binding(
  kind: "ClusterRoleBinding" | "RoleBinding",
  name: string,
  subject: object,
  role: { kind: string; name: string },
): KubernetesObject {
  const metadata = kind === "RoleBinding" ? { name, namespace: SYSTEM } : { name };
  const roleRef = { apiGroup: RBAC, ...role };
  return { apiVersion: `${RBAC}/v1`, kind, metadata, roleRef, subjects: [subject] };
}
