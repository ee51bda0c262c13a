import { freePort } from "../ports";
import { loopback, ServerProcess } from "./server";

/** What happens to the bytes on their way: a toxic of toxiproxy, with its attributes. */
export type Toxic =
  /** Each connection ends after so many bytes. */
  | { readonly type: "limit_data"; readonly attributes: { readonly bytes: number } }
  /** Milliseconds. */
  | { readonly type: "latency"; readonly attributes: { readonly latency: number } }
  /** KB a second, for each connection. */
  | { readonly type: "bandwidth"; readonly attributes: { readonly rate: number } }
  /** Nothing comes through any more; 0: and the connection stays. */
  | { readonly type: "timeout"; readonly attributes: { readonly timeout: number } };

/** A way to a server of this machine, with faults on demand. */
export interface FaultyLink {
  /** Port on which the server is reached through it. */
  readonly port: number;
  /** Makes every connection from now on faulty: what the server sends, or (`upstream`) what it is sent. */
  spoil(toxic: Toxic, stream?: "downstream" | "upstream"): Promise<void>;
  /** Takes all faults away. */
  heal(): Promise<void>;
}

/** Toxiproxy, which has any number of links. */
export interface Links {
  to(port: number): Promise<FaultyLink>;
  stop(): Promise<void>;
}

/** Starts toxiproxy on this machine. */
export async function startLinks(folder: string): Promise<Links> {
  const admin = await freePort();
  const { address } = loopback;
  const server = await ServerProcess.start({ place: loopback, port: admin, folder }, [
    ...["toxiproxy-server", "-host", address, "-port", String(admin)],
  ]);
  const ask = async (path: string, body: object): Promise<void> => {
    const url = `http://${address}:${admin}${path}`;
    const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  };
  return {
    to: async (upstream) => {
      const port = await freePort();
      const listen = `${address}:${port}`;
      const name = `to-${upstream}`;
      await ask("/proxies", { name, listen, upstream: `${address}:${upstream}`, enabled: true });
      return {
        port,
        spoil: (toxic, stream = "downstream") =>
          ask(`/proxies/${name}/toxics`, { ...toxic, stream, toxicity: 1 }),
        heal: () => ask("/reset", {}),
      };
    },
    stop: () => server.stop(),
  };
}
