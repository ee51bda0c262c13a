import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { SecretKey } from "../../../config/secrets";
import type { Artifactory } from "../../support/servers/artifactory";
import { startArtifactory } from "../../support/servers/artifactory";
import type { CloudStorage } from "../../support/servers/cloudStorage";
import { startKeyedStorage } from "../../support/servers/cloudStorage";
import type { Hub } from "../../support/servers/hub";
import { startHub } from "../../support/servers/hub";
import type { Place } from "../../support/servers/server";

/** Ports of servers on the node; Artifactory has two, so that it can move. */
export const GUARDED_PORTS = {
  hub: 18080,
  hubContent: 18081,
  storage: 18082,
  artifactory: [18083, 18084],
  collector: 18085,
} as const;

/** A server, and the secrets that it wants. */
export interface Guarded<Server, Keys extends SecretKey> {
  readonly server: Server;
  readonly secrets: Readonly<Record<Keys, string>>;
}

/** Where servers run, and what they have. */
export interface GuardedOptions {
  readonly place: Place;
  /** Folder in which each gets one of its own. */
  readonly scratch: string;
  /** Folder of a model. */
  readonly model: string;
}

/** Something that nobody can guess. */
export const newToken = (): string => randomBytes(18).toString("hex");

/** A hub with the model `maker/base`, for who has a new token. */
export async function guardedHub(options: GuardedOptions): Promise<Guarded<Hub, "HF_TOKEN">> {
  const { place, scratch, model } = options;
  const token = newToken();
  const [folder, contentPort] = [mkdtempSync(join(scratch, "hub-")), GUARDED_PORTS.hubContent];
  const at = { place, port: GUARDED_PORTS.hub, contentPort, folder };
  const server = await startHub({ ...at, model, name: "maker/base", token });
  return { server, secrets: { HF_TOKEN: token } };
}

type ArtifactoryKey = "ARTIFACTORY_URL" | "ARTIFACTORY_USERNAME" | "ARTIFACTORY_PASSWORD";

/** An Artifactory with the model in `models/base`, for a new user with a new password. */
export async function guardedArtifactory(
  { place, scratch, model }: GuardedOptions,
  port: (typeof GUARDED_PORTS.artifactory)[number],
): Promise<Guarded<Artifactory, ArtifactoryKey>> {
  const folder = mkdtempSync(join(scratch, "artifactory-"));
  const files = join(folder, "files");
  mkdirSync(join(files, "models"), { recursive: true });
  symlinkSync(model, join(files, "models", "base"));
  const login = { user: `reader-${String(port)}`, password: newToken() };
  const server = await startArtifactory({ place, port, folder, files, login });
  const { user, password } = login;
  return {
    server,
    secrets: {
      ARTIFACTORY_URL: server.url,
      ARTIFACTORY_USERNAME: user,
      ARTIFACTORY_PASSWORD: password,
    },
  };
}

/** A Cloud Storage without objects, for who has a new key of a service account. */
export async function guardedStorage({
  place,
  scratch,
}: GuardedOptions): Promise<Guarded<CloudStorage, "GCS_KEY">> {
  const port = GUARDED_PORTS.storage;
  const { privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const key = JSON.stringify({
    type: "service_account",
    project_id: "test",
    private_key_id: newToken(),
    private_key: privateKey,
    client_email: "publisher@test.iam.gserviceaccount.com",
    token_uri: `http://${place.address}:${String(port)}/token`,
  });
  const folder = mkdtempSync(join(scratch, "storage-"));
  const server = await startKeyedStorage({ place, port, folder, key });
  return { server, secrets: { GCS_KEY: key } };
}

/** The headers of OTLP_HEADERS for a login, and what a collector then gets as `authorization`. */
export function newTraceLogin(): { readonly header: string; readonly OTLP_HEADERS: string } {
  const header = `Basic ${btoa(`tracer:${newToken()}`)}`;
  return { header, OTLP_HEADERS: `authorization=${encodeURIComponent(header)}` };
}
