import { readFileSync } from "node:fs";
import type { Server } from "node:net";
import { createServer } from "node:net";

/** Ports below are left to the servers of the machine. */
const FIRST = 15_000;

/** From here on the kernel takes ports for outgoing connections, whenever it likes. */
const firstEphemeral = (): number =>
  Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/)[0]);

/** A server that listens at a place and keeps no process alive; undefined where the place is taken. */
function occupy(place: string | { port: number; host: string }): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer().unref();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(place, () => resolve(server));
  });
}

/**
 * A free port on the loopback address that is this process's own until it ends: no other caller on the machine is given
 * it (each port has an abstract socket as its lock, which goes with the process), nor does the kernel use it for a
 * connection.
 */
export async function freePort(): Promise<number> {
  for (let port = FIRST; port < firstEphemeral(); port += 1) {
    if ((await occupy(`\0llmops-test-port-${port}`)) === undefined) continue;
    const trial = await occupy({ port, host: "127.0.0.1" });
    if (trial === undefined) continue;
    await new Promise((closed) => trial.close(closed));
    return port;
  }
  throw new Error(`no free port from ${FIRST} up to those of outgoing connections`);
}
