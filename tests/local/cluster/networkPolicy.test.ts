import type { NetworkPolicy, NetworkPolicySpec, Pod } from "../../../local/cluster/kubernetesTypes";
import { policyRules } from "../../../local/cluster/networkPolicy";

const namespaces = [
  { metadata: { name: "llm", labels: { team: "ml" } } },
  { metadata: { name: "other", labels: { team: "web" } } },
];

function pod(namespace: string, app: string, podIP: string, more: Partial<Pod> = {}): Pod {
  return {
    metadata: { name: app, namespace, labels: { app } },
    spec: {
      containers: [{ ports: [{ name: "http", containerPort: 8000 }] }],
    },
    status: { phase: "Running", podIP },
    ...more,
  };
}

const server = pod("llm", "server", "10.244.0.2");
const client = pod("llm", "client", "10.244.0.3");
const foreign = pod("other", "client", "10.244.0.4");
const pods = [foreign, client, server];

function policy(spec: NetworkPolicySpec): NetworkPolicy {
  return { metadata: { name: "policy", namespace: "llm" }, spec };
}

/** The lines of one chain, or undefined where there is no such chain. */
function chainOf(name: string, ...policies: NetworkPolicy[]): string[] | undefined {
  return chainIn(policyRules({ policies, pods, namespaces }), name);
}

function chainIn(rules: string, name: string): string[] | undefined {
  const body = rules.split(`  chain ${name} {\n`)[1]?.split("\n  }")[0];
  return body?.split("\n").map((line) => line.trim());
}

const ingress = "ingress_10_244_0_2";
const egress = "egress_10_244_0_2";
const podSelector = { matchLabels: { app: "server" } };

it("isolates nobody without policies", () => {
  expect(policyRules({ policies: [], pods, namespaces })).toMatchInlineSnapshot(`
"table ip llmops_network_policy {}
delete table ip llmops_network_policy
table ip llmops_network_policy {
  chain between_pods {
    type filter hook forward priority filter - 5; policy accept;
    ct state established,related accept
  }
  chain to_node {
    type filter hook input priority filter - 5; policy accept;
    ct state established,related accept
  }
}
"
`);
});

describe("who is isolated", () => {
  it("the selected pods of the policy's namespace, in the policy's directions only", () => {
    const rules = policyRules({
      policies: [policy({ podSelector: {}, policyTypes: ["Ingress"] })],
      pods,
      namespaces,
    });
    expect(chainIn(rules, "ingress_10_244_0_2")).toEqual(["counter drop"]);
    expect(chainIn(rules, "ingress_10_244_0_3")).toEqual(["counter drop"]);
    expect(chainIn(rules, "ingress_10_244_0_4")).toBeUndefined();
    expect(chainIn(rules, "egress_10_244_0_2")).toBeUndefined();
    expect(chainIn(rules, "between_pods")).toContain(
      "ip daddr vmap { 10.244.0.2 : jump ingress_10_244_0_2, 10.244.0.3 : jump ingress_10_244_0_3 }",
    );
  });

  it.each([
    ["no egress rules", { podSelector }, false],
    ["egress rules", { podSelector, egress: [] }, true],
  ])("policy types left out, with %s", (_, spec, isolated) => {
    expect(chainOf(ingress, policy(spec))).toBeDefined();
    expect(chainOf(egress, policy(spec)) !== undefined).toBe(isolated);
  });

  it("what a pod sends to the node meets its egress rules too", () => {
    const rules = policyRules({
      policies: [policy({ podSelector, policyTypes: ["Egress"] })],
      pods,
      namespaces,
    });
    expect(chainIn(rules, "to_node")).toContain(
      "ip saddr vmap { 10.244.0.2 : jump egress_10_244_0_2 }",
    );
  });

  it.each([
    ["ended", { status: { phase: "Succeeded", podIP: "10.244.0.9" } }],
    ["of the node's network", { spec: { containers: [], hostNetwork: true } }],
    ["without an address", { status: { phase: "Pending" } }],
  ])("no pod that is %s", (_, more) => {
    const rules = policyRules({
      policies: [policy({ podSelector: {} })],
      pods: [pod("llm", "x", "10.244.0.9", more)],
      namespaces,
    });
    expect(rules).not.toContain("10.244.0.9");
  });
});

describe("whom an ingress rule lets in", () => {
  const from = (...peers: object[]): NetworkPolicy =>
    policy({ podSelector, policyTypes: ["Ingress"], ingress: [{ _from: peers }] });

  it.each([
    ["everybody", [], "return"],
    ["pods of the namespace", [{ podSelector: {} }], "ip saddr { 10.244.0.2, 10.244.0.3 } return"],
    [
      "pods of other namespaces",
      [{ namespaceSelector: { matchLabels: { team: "web" } } }],
      "ip saddr { 10.244.0.4 } return",
    ],
    [
      "both selectors together",
      [{ namespaceSelector: {}, podSelector: { matchLabels: { app: "client" } } }],
      "ip saddr { 10.244.0.3, 10.244.0.4 } return",
    ],
    [
      "a block with exceptions",
      [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }],
      "ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } return",
    ],
  ])("%s", (_, peers, expected) => {
    expect(chainOf(ingress, from(...peers))).toEqual([expected, "counter drop"]);
  });

  it.each([
    ["a selector that nobody meets", { podSelector: { matchLabels: { app: "none" } } }],
    ["a block of IPv6", { ipBlock: { cidr: "fd00::/8" } }],
  ])("nobody: %s", (_, peer) => {
    expect(chainOf(ingress, from(peer))).toEqual(["counter drop"]);
  });

  it("the same whether the client names the field _from or from", () => {
    const peers = [{ podSelector: {} }];
    const watched = policy({ podSelector, ingress: [{ from: peers }] });
    expect(chainOf(ingress, watched)).toEqual(chainOf(ingress, from(...peers)));
  });

  it("adds up what several policies allow", () => {
    const blocks = ["10.1.0.0/16", "10.2.0.0/16"].map((cidr) => from({ ipBlock: { cidr } }));
    expect(chainOf(ingress, ...blocks)).toEqual([
      "ip saddr 10.1.0.0/16 return",
      "ip saddr 10.2.0.0/16 return",
      "counter drop",
    ]);
  });
});

describe("ports", () => {
  it.each([
    ["a number", { port: 8000 }, ["tcp dport 8000 return"]],
    ["another protocol", { port: 53, protocol: "UDP" }, ["udp dport 53 return"]],
    ["a range", { port: 8000, endPort: 8010 }, ["tcp dport 8000-8010 return"]],
    ["a protocol alone", { protocol: "UDP" }, ["meta l4proto udp return"]],
    ["a name of the pod's", { port: "http" }, ["tcp dport 8000 return"]],
    ["a name that the pod has not", { port: "grpc" }, []],
  ])("of ingress: %s", (_, port, expected) => {
    const spec = { podSelector, policyTypes: ["Ingress"], ingress: [{ ports: [port] }] };
    expect(chainOf(ingress, policy(spec))).toEqual([...expected, "counter drop"]);
  });

  it("of egress: a name means what each receiver calls so", () => {
    const to = [{ podSelector: { matchLabels: { app: "client" } } }];
    const spec = {
      podSelector,
      policyTypes: ["Egress"],
      egress: [{ to, ports: [{ port: "http" }] }],
    };
    expect(chainOf(egress, policy(spec))).toEqual([
      "ip daddr 10.244.0.3 tcp dport 8000 return",
      "counter drop",
    ]);
  });
});
