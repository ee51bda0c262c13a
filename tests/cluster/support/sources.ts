import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { output } from "../../../local/cluster/commands.ts";
import type { Artifactory, Login } from "../../support/servers/artifactory";
import { startArtifactory } from "../../support/servers/artifactory";
import type { CloudStorage } from "../../support/servers/cloudStorage";
import { startCloudStorage } from "../../support/servers/cloudStorage";
import type { Hub } from "../../support/servers/hub";
import { startHub } from "../../support/servers/hub";
import type { Place } from "../../support/servers/server";

const PORTS = { hub: 18080, hubContent: 18081, storage: 18082, artifactory: 18083 } as const;

/** Ports of the node on which models can be had. */
export const REPOSITORY_PORTS: readonly number[] = Object.values(PORTS);

/** Every repository, each with the same model `lumen7`. */
export interface Repositories {
  readonly hub: Hub;
  readonly storage: CloudStorage;
  readonly artifactory: Artifactory;
  /** Requests for files of the model that all of them got so far. */
  downloads(): readonly string[];
  stop(): Promise<void>;
}

/**
 * Copies a model into `models/lumen7` and `models/lumen7.tar.gz` of an empty folder, and serves them as hub, bucket and
 * Artifactory. Pods trust the authorities of their images, so a test's own would need other images: here Artifactory is
 * plain HTTP, and its TLS is in `tests/images/realServers.test.ts`.
 */
export async function startRepositories(options: {
  readonly place: Place;
  readonly model: string;
  readonly folder: string;
  readonly login: Login;
}): Promise<Repositories> {
  const { place, login } = options;
  const files = join(options.folder, "files");
  const model = join(files, "models", "lumen7");
  cpSync(options.model, model, { recursive: true, dereference: true });
  await output("tar", ["-I", "gzip -1", "-cf", `${model}.tar.gz`, "-C", model, "."]);
  const server = (name: keyof typeof PORTS) => {
    const folder = join(options.folder, name);
    mkdirSync(folder);
    return { place, port: PORTS[name], folder };
  };
  const running: { stop(): Promise<void> }[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((each) => each.stop()));
    rmSync(files, { recursive: true, force: true });
  };
  try {
    const contentPort = PORTS.hubContent;
    const hub = await startHub({ ...server("hub"), contentPort, name: "maker/lumen7", model });
    running.push(hub);
    const storage = await startCloudStorage({ ...server("storage"), buckets: files });
    running.push(storage);
    const artifactory = await startArtifactory({ ...server("artifactory"), files, login });
    running.push(artifactory);
    const downloads = () => [hub, storage, artifactory].flatMap((each) => each.downloads());
    return { hub, storage, artifactory, downloads, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
