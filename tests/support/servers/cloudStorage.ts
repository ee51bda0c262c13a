import { ServerProcess } from "./server";
import type { ServerOptions } from "./server";

/** Cloud Storage's JSON API, by fake-gcs-server. */
export interface CloudStorage {
  /** Base URL of the API. */
  readonly endpoint: string;
  /** Downloads of objects so far: method and path of each request. */
  downloads(): readonly string[];
  /** Uploads so far: method and path of each request. */
  uploads(): readonly string[];
  stop(): Promise<void>;
}

/** Serves the folders of `buckets` as buckets, to everybody. */
export async function startCloudStorage(
  options: ServerOptions & { readonly buckets: string },
): Promise<CloudStorage> {
  const { place, port, buckets } = options;
  const authority = `${place.address}:${port}`;
  const server = await ServerProcess.start(options, [
    "fake-gcs-server",
    ...["-scheme", "http", "-host", place.address, "-port", String(port)],
    ...["-public-host", authority, "-external-url", `http://${authority}`],
    ...["-backend", "memory", "-data", buckets, "-log-level", "info"],
  ]);
  return {
    endpoint: `http://${authority}`,
    downloads: () => server.log().match(/GET \/download\/\S+/g) ?? [],
    uploads: () => server.log().match(/(?:POST|PUT) \/upload\/\S+/g) ?? [],
    stop: () => server.stop(),
  };
}
