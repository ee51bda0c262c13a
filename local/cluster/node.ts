import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { output } from "./commands.ts";
import { debianEnvironment } from "./environment.ts";
import { mountNode } from "./mounts.ts";
import { inside, network, nodeName } from "./options.ts";
import { readPlan, type NodePlan } from "./plan.ts";
import { until } from "./poll.ts";
import { Supervisor } from "./supervisor.ts";

/** Name of the link's end inside the cluster. */
export const nodeLink = "eth0";

const STOP_SECONDS = 10;

/** The node: lays out its namespaces, then runs its processes until it is told to end. */
export async function runNode(planFile: string): Promise<void> {
  const plan = readPlan(planFile);
  writeFileSync("/proc/sys/kernel/hostname", nodeName);
  await mountNode(plan);
  await setUpNetwork(plan);
  const supervisor = new Supervisor(
    plan.processes,
    {
      logDir: inside.log,
      env: { ...debianEnvironment(plan.debsRoot), HOME: inside.root, TMPDIR: inside.tmp },
      authority: readFileSync(join(inside.pki, "ca.crt")),
    },
    (line) => process.stdout.write(`${new Date().toISOString()} ${line}\n`),
  );
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      void supervisor.stop(STOP_SECONDS).then(() => process.exit(0));
    });
  }
  await supervisor.start();
}

/**
 * Gives the node its address. Packets to a service's address need a route before they are rewritten; it is the link's,
 * where nobody answers. There is no route to anywhere else: the cluster has no way out of the machine.
 */
async function setUpNetwork({ link }: NodePlan): Promise<void> {
  await until(`the link ${link.name}`, 30, async () => {
    const found = await output("ip", ["-o", "link"]);
    return found.includes(`: ${nodeLink}@`) ? true : undefined;
  });
  const ip = (...args: string[]): Promise<string> => output("ip", args);
  await ip("link", "set", "lo", "up");
  await ip("address", "replace", `${link.nodeAddress}/30`, "dev", nodeLink);
  await ip("link", "set", nodeLink, "up");
  await ip("route", "replace", network.serviceRange, "dev", nodeLink, "src", link.nodeAddress);
  for (const [setting, value] of [
    ["net/ipv4/ip_forward", "1"],
    ["net/ipv6/conf/all/disable_ipv6", "1"],
    // When the node is killed, the kernel keeps its network for as long as it tries to end open connections.
    ["net/ipv4/tcp_orphan_retries", "1"],
    ["net/bridge/bridge-nf-call-iptables", "1"],
  ] as const) {
    writeFileSync(join("/proc/sys", setting), value);
  }
}
