import { ensureDebs } from "./debs.ts";
import type { GoTools } from "./goTools.ts";

/** Servers that tests start, and nothing else needs. */
export interface TestServers {
  /** Root of the unpacked Debian packages with nginx. */
  readonly debsRoot: string;
  /** Folders for PATH: fake-gcs-server, toxiproxy-server. */
  readonly bins: readonly string[];
}

/** Builds or finds the servers of the tests. @throws {CommandError} where a package cannot be had. */
export async function ensureTestServers(options: {
  readonly tools: GoTools;
  readonly logs: string;
}): Promise<TestServers> {
  const { tools, logs } = options;
  const { root } = await ensureDebs(["libnginx-mod-http-perl", "nginx"], { logs });
  const bins: string[] = [];
  for (const name of ["fake-gcs-server", "toxiproxy"]) bins.push((await tools.ensure(name)).bin);
  return { debsRoot: root, bins };
}
