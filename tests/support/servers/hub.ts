import { join } from "node:path";
import { ROOT } from "../program";
import { ServerProcess } from "./server";
import type { ServerOptions } from "./server";

/** The hub, with one model of one commit. */
export interface Hub {
  readonly endpoint: string;
  /** Commit of the model. */
  readonly revision: string;
  /** Requests for files so far: method and path of each. */
  downloads(): readonly string[];
  stop(): Promise<void>;
}

/** Serves a folder as the model `name`, to all or to who has the token; its large files are on the port `contentPort`. */
export async function startHub(
  options: ServerOptions & {
    readonly contentPort: number;
    readonly name: string;
    readonly model: string;
    readonly token?: string;
  },
): Promise<Hub> {
  const { place, port, contentPort, name, model, token = "" } = options;
  const script = join(ROOT, "images", "models", "tests", "hub_main.py");
  const args = [place.address, String(port), String(contentPort), name, model];
  const server = await ServerProcess.start(options, ["python", script, ...args], {
    ...process.env,
    LLMOPS_HUB_TOKEN: token,
  });
  return {
    endpoint: `http://${place.address}:${port}`,
    revision: "0123456789abcdef0123456789abcdef01234567",
    downloads: () => server.log().match(/GET \/(?:blobs|\S+\/resolve)\/\S+/g) ?? [],
    stop: () => server.stop(),
  };
}
