import { chownSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { childOf, killAnchor, liveAnchor, startAnchor } from "./anchor.ts";
import { createCgroups, removeCgroups, removePodCgroups } from "./cgroups.ts";
import { configFiles } from "./configs.ts";
import { ensureImages } from "./images.ts";
import { stopBuilder } from "./builder.ts";
import { instanceLink, layLink, linkExists, removeLink } from "./link.ts";
import { nodeLink } from "./node.ts";
import { clusterObjects } from "./objects.ts";
import { clusterPaths, inside, nodeName, registry } from "./options.ts";
import type { ClusterHandle, ClusterOptions, ClusterPaths, Link } from "./options.ts";
import { readPlan, type NodePlan } from "./plan.ts";
import { ensurePki } from "./pki.ts";
import { nodeProcesses } from "./processes.ts";
import { untilReady } from "./ready.ts";

export { startBuilder } from "./builder.ts";

const VOLUME_OWNER = 10001;

/**
 * Starts the cluster, or finds it running. Whatever an interrupted start left behind is ended first.
 *
 * @param say - told of every step.
 */
export async function startCluster(
  options: ClusterOptions,
  say: (step: string) => void,
): Promise<ClusterHandle> {
  const paths = clusterPaths(options.stateDir);
  const link = await instanceLink(options.instance, paths.link);
  const running = liveAnchor(paths.clusterAnchor) !== undefined && (await linkExists(link));
  if (!running) await startNode(options, paths, link, say);
  const startedAt = new Date(readPlan(paths.plan).startedAt);
  const { hyperkube } = options.tools;
  await untilReady({ hyperkube, paths, nodeAddress: link.nodeAddress, startedAt }, say);
  return {
    kubeconfig: paths.kubeconfig,
    context: nodeName,
    nodeName,
    nodeAddress: link.nodeAddress,
    registry,
    volumesDir: paths.volumes,
  };
}

/**
 * Ends the cluster and the image builder, and removes what the machine could see of them. The state folder stays: it is
 * the caller's.
 */
export async function stopCluster(options: { instance: string; stateDir: string }): Promise<void> {
  await stopBuilder(options.instance, options.stateDir);
  await stopNode(options);
  await removeCgroups(options.instance);
}

async function stopNode(options: { instance: string; stateDir: string }): Promise<void> {
  await killAnchor(clusterPaths(options.stateDir).clusterAnchor);
  await removeLink(`llmops-${options.instance}`);
  await removePodCgroups(options.instance);
}

async function startNode(
  options: ClusterOptions,
  paths: ClusterPaths,
  link: Link,
  say: (step: string) => void,
): Promise<void> {
  await stopNode(options);
  say("certificates and configuration");
  makeFolders(options, paths);
  await ensurePki(paths.pki, link.nodeAddress);
  copyFileSync(join(paths.pki, "admin.kubeconfig"), paths.kubeconfig);
  await writeConfig(options, paths, link);
  createCgroups(options.instance);
  say("namespaces and link");
  const anchor = await startAnchor({
    file: paths.clusterAnchor,
    lock: join(options.slotDir, "cluster.lock"),
    log: join(paths.log, "node.log"),
    namespaces: ["net", "uts", "ipc"],
    command: [
      ...[
        join(options.tools.debsRoot, "usr/bin/tini-static"),
        "--",
        ...program("nodeMain.ts", options),
      ],
      paths.plan,
    ],
    env: process.env,
  });
  const inner = childOf(anchor.pid);
  if (inner === undefined) throw new Error(`the node ended at once; see ${paths.log}/node.log`);
  await layLink(link, inner, nodeLink);
}

async function writeConfig(
  options: ClusterOptions,
  paths: ClusterPaths,
  link: Link,
): Promise<void> {
  const { instance, tools } = options;
  const { nodeAddress } = link;
  const objects = clusterObjects({ nodeAddress, caFile: join(paths.pki, "ca.crt") });
  const list = { apiVersion: "v1", kind: "List", items: objects };
  const files = configFiles({ instance, nodeAddress, debsRoot: tools.debsRoot });
  files.set("objects.json", JSON.stringify(list, null, 2));
  for (const [name, text] of files) {
    const file = join(paths.config, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  const archives = await ensureImages(tools, join(options.slotDir, "images"));
  const images = Object.fromEntries(
    [...archives].map(([name, file]) => [name, join(inside.images, file)]),
  );
  const agent = program("agentMain.ts", options);
  const plan: NodePlan = {
    link,
    startedAt: new Date().toISOString(),
    stateDir: options.stateDir,
    slotDir: options.slotDir,
    debsRoot: tools.debsRoot,
    keep: [
      ...[options.stateDir, options.slotDir, dirname(options.sourceDir), tools.debsRoot],
      ...[tools.hyperkube, tools.prometheusAdapter, process.execPath].map(dirname),
    ],
    processes: nodeProcesses({ tools, nodeAddress, agent, images }),
  };
  writeFileSync(paths.plan, JSON.stringify(plan, null, 2));
}

function program(script: string, options: ClusterOptions): [string, ...string[]] {
  const quiet = "--disable-warning=ExperimentalWarning";
  return [process.execPath, quiet, join(options.sourceDir, "cluster", script)];
}

function makeFolders(options: ClusterOptions, paths: ClusterPaths): void {
  const state = ["etcd", "kubelet", "pod-logs"].map((name) => join(paths.state, name));
  const stores = ["containerd", "registry", "images"].map((name) => join(options.slotDir, name));
  for (const folder of [paths.run, paths.log, paths.config, ...state, ...stores]) {
    mkdirSync(folder, { recursive: true });
  }
  for (const name of ["models", "data", "mlflow", "mlflow-database", "mlflow-backup"]) {
    const folder = join(paths.volumes, name);
    mkdirSync(folder, { recursive: true });
    chownSync(folder, VOLUME_OWNER, VOLUME_OWNER);
  }
}
