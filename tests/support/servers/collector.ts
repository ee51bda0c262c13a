import { ServerProcess } from "./server";
import type { ServerOptions } from "./server";

/** A collector of spans, by OTLP over HTTP. */
export interface Collector {
  readonly endpoint: string;
  /** Requests with spans so far: path, login and sender of each. */
  requests(): readonly string[];
  stop(): Promise<void>;
}

/** Answers each request as a collector that has taken all of it, and prints who sent it, by which login. */
const SCRIPT = `
const [host, port] = process.argv.slice(1);
require("node:http").createServer((request, response) => {
  const { authorization, "user-agent": sender } = request.headers;
  request.resume().once("end", () => {
    console.log(request.method, request.url, authorization, "by", sender);
    response.end();
  });
}).listen(Number(port), host);
`;

/** Starts a collector that takes the spans of everybody. */
export async function startCollector(options: ServerOptions): Promise<Collector> {
  const { address } = options.place;
  const port = String(options.port);
  const server = await ServerProcess.start(options, [
    process.execPath,
    "-e",
    SCRIPT,
    address,
    port,
  ]);
  return {
    endpoint: `http://${address}:${port}/v1/traces`,
    requests: () => server.log().match(/^POST .*$/gm) ?? [],
    stop: () => server.stop(),
  };
}
