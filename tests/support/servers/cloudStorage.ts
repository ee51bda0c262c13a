import { join } from "node:path";
import { ROOT } from "../program";
import { ServerProcess } from "./server";
import type { ServerOptions } from "./server";

/** Cloud Storage's JSON API. */
export interface CloudStorage {
  /** Base URL of the API. */
  readonly endpoint: string;
  /** Downloads of objects so far: method and path of each request. */
  downloads(): readonly string[];
  /** Uploads so far: method and path of each request. */
  uploads(): readonly string[];
  stop(): Promise<void>;
}

/** Serves the folders of `buckets` as buckets, to everybody, by fake-gcs-server. */
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
  return storageOf(`http://${authority}`, server);
}

/** Serves empty buckets to who has a token for `key`, the JSON of a service account whose token endpoint is this server. */
export async function startKeyedStorage(
  options: ServerOptions & { readonly key: string },
): Promise<CloudStorage> {
  const { place, port, key } = options;
  const script = join(ROOT, "images", "models", "tests", "gcs_main.py");
  const server = await ServerProcess.start(
    options,
    ["python", script, place.address, String(port)],
    { ...process.env, LLMOPS_GCS_KEY: key },
  );
  return storageOf(`http://${place.address}:${String(port)}`, server);
}

function storageOf(endpoint: string, server: ServerProcess): CloudStorage {
  return {
    endpoint,
    downloads: () => server.log().match(/GET \/download\/\S+/g) ?? [],
    uploads: () => server.log().match(/(?:POST|PUT) \/upload\/\S+/g) ?? [],
    stop: () => server.stop(),
  };
}
