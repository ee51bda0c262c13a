import { mkdirSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { killAnchor, liveAnchor, startAnchor } from "./anchor.ts";
import { createCgroups } from "./cgroups.ts";
import { outcome } from "./commands.ts";
import { hostsFile } from "./configs.ts";
import { debianEnvironment } from "./environment.ts";
import { instanceLink } from "./link.ts";
import { cgroupName, clusterPaths, registry } from "./options.ts";
import type { BuilderHandle, ClusterOptions } from "./options.ts";
import { Final, until } from "./poll.ts";

const START_SECONDS = 60;
/** How much of earlier builds is kept: about one build of the three images. */
const BUILD_CACHE = { gc: { enabled: true, defaultKeepStorage: "12GB" } };
/** The kernel takes no longer path for a socket. */
const LONGEST_SOCKET = 107;

/** What the builder's shell does before it becomes the Docker engine. $1 is its hosts file, $2 its folder in memory. */
const SET_UP = `
set -eu
mkdir -p "$2"
mount -t tmpfs -o mode=755 llmops "$2"
mount --bind "$1" "$(readlink -f /etc/hosts)"
shift 2
exec "$@"
`;

/**
 * Starts the image builder, or finds it running: a Docker engine on the machine's network, since builds fetch packages,
 * that changes nothing of it: no bridge, no firewall rules, no forwarding. It knows the cluster's registry by name.
 */
export async function startBuilder(options: ClusterOptions): Promise<BuilderHandle> {
  const paths = clusterPaths(options.stateDir);
  const socket = join(paths.run, "docker.sock");
  if (Buffer.byteLength(socket) > LONGEST_SOCKET) {
    throw new Error(
      `the path ${socket} is too long for a socket\n` +
        `  what to do: use a checkout whose path is at least ${Buffer.byteLength(socket) - LONGEST_SOCKET} bytes shorter`,
    );
  }
  const handle = {
    dockerHost: `unix://${socket}`,
    dockerClient: join(options.tools.debsRoot, "usr/bin/docker"),
  };
  const env = debianEnvironment(options.tools.debsRoot);
  if (liveAnchor(paths.builderAnchor) === undefined) {
    await killAnchor(paths.builderAnchor);
    const link = await instanceLink(options.instance, paths.link);
    const hosts = join(paths.config, "hosts");
    const dataDir = join(options.slotDir, "docker");
    for (const folder of [paths.run, dirname(hosts), dataDir])
      mkdirSync(folder, { recursive: true });
    writeFileSync(hosts, hostsFile(link.nodeAddress));
    const settings = join(paths.config, "dockerd.json");
    writeFileSync(settings, JSON.stringify({ builder: BUILD_CACHE }));
    createCgroups(options.instance);
    await startAnchor({
      file: paths.builderAnchor,
      lock: join(options.slotDir, "builder.lock"),
      log: join(paths.log, "builder.log"),
      namespaces: [],
      command: [
        ...[
          join(options.tools.debsRoot, "usr/bin/tini-static"),
          "--",
          "sh",
          "-c",
          SET_UP,
          "sh",
          hosts,
          runFolder(options.instance),
        ],
        ...engineCommand(options, { socket, dataDir, settings }),
      ],
      env,
    });
  }
  await until(`the image builder (see ${paths.log}/builder.log)`, START_SECONDS, async () => {
    if (liveAnchor(paths.builderAnchor) === undefined) {
      throw new Final(`the image builder has ended: see ${paths.log}/builder.log`);
    }
    const asked = await outcome(handle.dockerClient, ["--host", handle.dockerHost, "version"], {
      env,
    });
    return asked.code === 0 ? true : undefined;
  });
  return handle;
}

/** Ends the image builder and the builds in it. */
export async function stopBuilder(instance: string, stateDir: string): Promise<void> {
  await killAnchor(clusterPaths(stateDir).builderAnchor);
  await rm(runFolder(instance), { recursive: true, force: true });
}

/** Where the engine keeps sockets and the like: empty for the machine, in memory for the engine; its path is short. */
function runFolder(instance: string): string {
  return `/run/llmops-${instance}`;
}

function engineCommand(
  options: ClusterOptions,
  { socket, dataDir, settings }: { socket: string; dataDir: string; settings: string },
): string[] {
  const run = runFolder(options.instance);
  return [
    join(options.tools.debsRoot, "usr/sbin/dockerd"),
    ...["--host", `unix://${socket}`, "--data-root", dataDir, "--config-file", settings],
    ...["--exec-root", join(run, "docker"), "--pidfile", join(run, "docker.pid")],
    ...[
      "--bridge=none",
      "--iptables=false",
      "--ip6tables=false",
      "--ip-forward=false",
      "--ip-masq=false",
    ],
    ...["--insecure-registry", registry, "--exec-opt", "native.cgroupdriver=cgroupfs"],
    ...["--cgroup-parent", `/${cgroupName(options.instance)}`],
  ];
}
