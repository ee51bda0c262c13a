import { configFiles, containerdToml, hostsFile } from "../../../local/cluster/configs";
import { adapterConfig, prometheusConfig } from "../../../local/cluster/metrics";
import { outermost } from "../../../local/cluster/mounts";
import { nodeProcesses } from "../../../local/cluster/processes";
import { podIsReady } from "../../../local/cluster/ready";
import { scrapeTargets } from "../../../local/cluster/scrapeTargets";

const tools = {
  hyperkube: "/tools/hyperkube",
  coredns: "/tools/coredns",
  pause: "/tools/pause",
  prometheusAdapter: "/tools/prometheus-adapter",
  debsRoot: "/debs",
};
const input = { instance: "abc123", nodeAddress: "10.201.7.2", debsRoot: "/debs" };

describe("configuration files", () => {
  const files = configFiles(input);

  it("are JSON where they say so", () => {
    for (const [name, text] of files) {
      if (name.endsWith(".json")) expect(JSON.parse(text) as unknown).toBeDefined();
    }
  });

  it("keep pods in control groups of the instance, on cgroups of either version", () => {
    const kubelet: unknown = JSON.parse(files.get("kubelet.json") ?? "");
    expect(kubelet).toMatchObject({
      cgroupRoot: "/llmops-abc123",
      cgroupDriver: "cgroupfs",
      failCgroupV1: false,
      makeIPTablesUtilChains: false,
    });
  });

  it("leave the machine's connection tracking alone", () => {
    const proxy: unknown = JSON.parse(files.get("kube-proxy.json") ?? "");
    expect(proxy).toMatchObject({ conntrack: { maxPerCore: 0, min: 0 } });
  });

  it("never lower an out-of-memory score, and pull every name from the local registry", () => {
    expect(containerdToml("/debs")).toContain("restrict_oom_score_adj = true");
    expect(files.get("certs.d/_default/hosts.toml")).toContain('server = "http://127.0.0.1:5000"');
  });

  it("name the registry", () => {
    expect(hostsFile("10.201.7.2")).toContain("10.201.7.2 llmops-local registry.llmops.local\n");
  });
});

describe("metrics", () => {
  it("scrape the kubelet and the listed pods", () => {
    expect(prometheusConfig("10.201.7.2")).toMatchObject({
      scrape_configs: [
        { metrics_path: "/metrics/cadvisor" },
        { metrics_path: "/metrics/resource" },
        { job_name: "pods", file_sd_configs: [{ files: ["/run/llmops/targets/pods.json"] }] },
      ],
    });
  });

  it("keep vLLM's own names", () => {
    expect(JSON.stringify(adapterConfig())).toContain('__name__=~\\"^vllm:.*\\"');
  });

  it("list running pods that ask for it, with port and path", () => {
    const annotations = { "prometheus.io/scrape": "true", "prometheus.io/port": "8000" };
    const asking = { metadata: { name: "a", namespace: "n", annotations } };
    const status = { phase: "Running", podIP: "10.244.0.5" };
    const pods = [
      { ...asking, status },
      { ...asking, status: { phase: "Pending" } },
      { metadata: { name: "b", namespace: "n" }, status, spec: { containers: [] } },
    ];
    expect(scrapeTargets(pods)).toEqual([
      {
        targets: ["10.244.0.5:8000"],
        labels: { namespace: "n", pod: "a", __metrics_path__: "/metrics" },
      },
    ]);
  });
});

describe("processes", () => {
  const images = {
    "registry.k8s.io/pause:3.10.1": "/images/pause.tar",
    "registry.k8s.io/coredns/coredns:v1.12.4": "/images/coredns.tar",
  };
  const agent = ["node", "agent"] as const;
  const processes = nodeProcesses({ tools, nodeAddress: "10.201.7.2", agent, images });

  it("wait only for processes that are listed before", () => {
    const seen = new Set<string>();
    for (const { name, after } of processes) {
      expect(after.filter((other) => !seen.has(other))).toEqual([]);
      seen.add(name);
    }
    expect(seen.size).toBe(processes.length);
  });

  it("need an archive of each image", () => {
    expect(() => nodeProcesses({ tools, nodeAddress: "10.201.7.2", agent, images: {} })).toThrow(
      /no archive of registry.k8s.io\/pause/,
    );
  });
});

describe("podIsReady", () => {
  const since = new Date("2026-01-01T10:00:00.700Z");
  const started = (startedAt: string, ready = true): Parameters<typeof podIsReady>[0] => ({
    items: [{ status: { containerStatuses: [{ ready, state: { running: { startedAt } } }] } }],
  });

  it.each([
    ["started in the same second", started("2026-01-01T10:00:00Z"), true],
    ["left from the time before", started("2026-01-01T09:59:59Z"), false],
    ["started, not ready", started("2026-01-01T10:00:05Z", false), false],
    ["without containers", { items: [{ status: {} }] }, false],
  ])("%s", (_, pods, expected) => {
    expect(podIsReady(pods, since)).toBe(expected);
  });
});

it("mounts a folder that lies in another one only once", () => {
  expect(outermost(["/a/b", "/a", "/a", "/ab", "/c/d"])).toEqual(["/a", "/ab", "/c/d"]);
});
