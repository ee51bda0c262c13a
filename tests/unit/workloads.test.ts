import { endpoints } from "../../workloads/endpoints";
import { allowedHosts, allowedOrigins } from "../../workloads/mlflow";
import { modelServerName } from "../../workloads/names";
import { networkPolicies } from "../../workloads/network";
import { podDefaults } from "../../workloads/pod";
import { serviceSpec } from "../../workloads/service";
import { claimSpec, hostPathVolumeSpec } from "../../workloads/storage";
import { settingsOf, validTree } from "../support/settings";

const claim = (volume: object) =>
  settingsOf({
    ...validTree(),
    storage: { modelOutput: { volume }, mlflow: { volume: { kind: "storageClass" } } },
  }).storage.modelOutput;

test("a hostPath volume is pinned to its node and keeps its data", () => {
  const settings = claim({ kind: "hostPath", path: "/mnt/m", node: "n1" });
  expect(hostPathVolumeSpec(settings, { path: "/mnt/m", node: "n1" })).toEqual({
    capacity: { storage: "50Gi" },
    accessModes: ["ReadWriteOnce"],
    persistentVolumeReclaimPolicy: "Retain",
    storageClassName: "",
    hostPath: { path: "/mnt/m", type: "Directory" },
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [
          { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["n1"] }] },
        ],
      },
    },
  });
});

test("a claim names its volume, its class, or leaves the class to the cluster", () => {
  const base = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "50Gi" } } };
  const named = claim({ kind: "storageClass", name: "fast" });
  expect(claimSpec(named, undefined)).toEqual({ ...base, storageClassName: "fast" });
  expect(claimSpec(claim({ kind: "storageClass" }), undefined)).toEqual(base);
  expect(claimSpec(claim({ kind: "hostPath", path: "/m", node: "n" }), "pv-1")).toEqual({
    ...base,
    volumeName: "pv-1",
    storageClassName: "",
  });
});

test("MLflow answers to its Service by every name, with and without port", () => {
  const hosts = allowedHosts("ns", ["10.*"]);
  for (const name of ["mlflow", "mlflow.ns", "mlflow.ns.svc", "mlflow.ns.svc.cluster.local"]) {
    expect(hosts).toEqual(expect.arrayContaining([name, `${name}:*`]));
  }
  expect(hosts).toContain("10.*");
});

test("what a browser writes from MLflow's own pages is let in, with TLS and without", () => {
  expect(allowedOrigins(["mlflow.acme.test", "10.*"])).toEqual([
    "http://mlflow.acme.test",
    "https://mlflow.acme.test",
    "http://10.*",
    "https://10.*",
  ]);
});

describe("network policies", () => {
  const settings = settingsOf({ ...validTree(), network: { clientNamespaces: ["apps"] } });
  const policies = networkPolicies(settings);

  test("everything is denied first", () => {
    expect(policies["default-deny"]).toEqual({
      podSelector: {},
      policyTypes: ["Ingress", "Egress"],
    });
  });

  test("address ranges outside of the cluster are let in only where named", () => {
    const open = networkPolicies(
      settingsOf({ ...validTree(), network: { clientCidrs: ["10.0.0.0/8"] } }),
    );
    for (const name of ["inference", "mlflow"]) {
      const ingress = open[name]?.ingress as readonly { readonly from: readonly object[] }[];
      expect(ingress[0]?.from).toContainEqual({ ipBlock: { cidr: "10.0.0.0/8" } });
    }
    expect(JSON.stringify(policies)).not.toContain("ipBlock");
  });

  test("each exception, and no other", () => {
    expect(Object.keys(policies).sort()).toEqual([
      "allow-dns",
      "default-deny",
      "inference",
      "mlflow",
      "training-to-mlflow",
    ]);
  });

  test("model servers are open to the named namespaces and to monitoring, on their port only", () => {
    expect(policies["inference"]).toEqual({
      podSelector: { matchLabels: { "app.kubernetes.io/component": "inference" } },
      policyTypes: ["Ingress"],
      ingress: [
        {
          from: ["monitoring", "apps"].map((name) => ({
            namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } },
          })),
          ports: [{ protocol: "TCP", port: 8000 }],
        },
      ],
    });
  });
});

test("a node port only where one is set", () => {
  expect(serviceSpec({ type: "ClusterIP" }, { a: "b" }, 80)).toEqual({
    type: "ClusterIP",
    selector: { a: "b" },
    ports: [{ name: "http", port: 80, targetPort: "http", protocol: "TCP" }],
  });
  expect(serviceSpec({ type: "NodePort", nodePort: 30001 }, {}, 80)).toMatchObject({
    ports: [{ nodePort: 30001 }],
  });
});

test("placement and pull secrets reach the pod, absent ones leave no field", () => {
  const placement = {
    nodeSelector: { disk: "ssd" },
    tolerations: [{ key: "gpu", operator: "Exists" as const, effect: undefined }],
  };
  expect(podDefaults("inference", { placement }, ["pull"])).toMatchObject({
    serviceAccountName: "llmops-inference",
    nodeSelector: { disk: "ssd" },
    tolerations: [{ key: "gpu", operator: "Exists" }],
    imagePullSecrets: [{ name: "pull" }],
  });
  const bare = podDefaults("mlflow", { placement: { nodeSelector: {}, tolerations: [] } }, []);
  for (const field of ["nodeSelector", "tolerations", "imagePullSecrets"]) {
    expect(bare).not.toHaveProperty(field);
  }
});

test("the longest model name still makes a DNS label", () => {
  expect(modelServerName("m".repeat(39))).toHaveLength(63);
});

test("endpoints say the URL in the cluster, and the node port where there is one", () => {
  const settings = settingsOf({
    ...validTree(),
    namespace: "ns",
    mlflow: { service: { type: "NodePort", nodePort: 30500 } },
  });
  expect(endpoints(settings)).toEqual({
    mlflow: { url: "http://mlflow.ns.svc:5000", nodePort: 30500 },
    models: {
      base: { url: "http://llama-factory-inference-base.ns.svc:8000/v1", model: "base" },
    },
  });
});
