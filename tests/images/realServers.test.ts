import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Artifactory } from "../support/servers/artifactory";
import { startArtifactory } from "../support/servers/artifactory";
import type { Certificate } from "../support/servers/certificate";
import { makeCertificate } from "../support/servers/certificate";
import type { CloudStorage } from "../support/servers/cloudStorage";
import { startCloudStorage } from "../support/servers/cloudStorage";
import { Volume, digests, folderDigests, makeModel, sha256, writeTree } from "../support/servers/download";
import type { FaultyLink } from "../support/servers/faultyLink";
import { startLinks } from "../support/servers/faultyLink";
import type { Hub } from "../support/servers/hub";
import { startHub } from "../support/servers/hub";
import { freePort } from "../support/ports";
import { loopback } from "../support/servers/server";

const SECONDS = 1000;
const MODEL = makeModel(1_000_000);
const DIGESTS = digests(MODEL);
const DATA = {
  "dataset_info.json": Buffer.from('{"facts": {"file_name": "facts.json"}}'),
  "facts.json": Buffer.from('[{"instruction": "a", "input": "", "output": "b"}]'),
};
const LOGIN = { user: "reader", password: "p:ss wörd 7c1e" };
const ARCHIVE = ["artifactory", "--path", "models/tiny.tar.gz"];
const FOLDER = ["artifactory", "--path", "models/tiny"];

let scratch: string;
let certificate: Certificate;
let artifactory: Artifactory;
let storage: CloudStorage;
let hub: Hub;
let toArtifactory: FaultyLink;
let toStorage: FaultyLink;
let archive: Buffer;
const running: { stop(): Promise<void> }[] = [];

/** Remembers a server, to be ended after the tests. */
function untilTheEnd<T extends { stop(): Promise<void> }>(server: T): T {
  running.push(server);
  return server;
}

const folder = (name: string): string => {
  const path = join(scratch, name);
  mkdirSync(path, { recursive: true });
  return path;
};

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-servers-"));
  const files = folder("files");
  writeTree(join(files, "models", "tiny"), MODEL);
  execFileSync("tar", ["-czf", join(files, "models", "tiny.tar.gz"), "-C", files, "models/tiny"]);
  writeTree(join(files, "models", "facts"), DATA);
  execFileSync("tar", ["-czf", join(files, "models", "facts.tar.gz"), "-C", files, "models/facts"]);
  archive = readFileSync(join(files, "models", "tiny.tar.gz"));
  certificate = await makeCertificate(folder("certificate"), loopback.address);
  const server = async (name: string) => ({
    place: loopback,
    port: await freePort(),
    folder: folder(name),
  });
  const nginx = await server("nginx");
  const gcs = await server("gcs");
  const links = untilTheEnd(await startLinks(folder("links")));
  toArtifactory = await links.to(nginx.port);
  toStorage = await links.to(gcs.port);
  artifactory = untilTheEnd(
    await startArtifactory({ ...nginx, files, login: LOGIN, certificate }),
  );
  storage = untilTheEnd(await startCloudStorage({ ...gcs, buckets: files }));
  const contentPort = await freePort();
  const model = join(files, "models", "tiny");
  hub = untilTheEnd(
    await startHub({ ...(await server("hub")), contentPort, name: "maker/tiny", model }),
  );
}, 60 * SECONDS);

afterAll(async () => {
  await Promise.all(running.map((server) => server.stop()));
  rmSync(scratch, { recursive: true, force: true });
});

let volume: Volume;
beforeEach(() => {
  volume = new Volume(mkdtempSync(join(scratch, "volume-")));
});
afterEach(() => toArtifactory.heal());

/** What a pod has in its environment to read the repository, straight or through the link. */
const reader = (port?: number): Record<string, string> => ({
  ARTIFACTORY_URL:
    port === undefined ? artifactory.url : `https://${loopback.address}:${String(port)}`,
  ARTIFACTORY_USERNAME: LOGIN.user,
  ARTIFACTORY_PASSWORD: LOGIN.password,
  SSL_CERT_FILE: certificate.authority,
});

describe("nginx with TLS, a login, ranges, ETags and checksums, as Artifactory", () => {
  test.each([
    ["an archive", ARCHIVE],
    ["a folder", FOLDER],
  ])("%s arrives, and a second start asks for no file", async (_, source) => {
    const first = await volume.fetch(source, reader());
    expect(first).toMatchObject({ code: 0 });
    expect(folderDigests(volume.model)).toEqual(DIGESTS);
    const before = artifactory.downloads().length;
    expect(before).toBeGreaterThan(0);
    const second = await volume.fetch(source, reader());
    expect(second).toMatchObject({ code: 0 });
    expect(artifactory.downloads()).toHaveLength(before);
    for (const { log } of [first, second]) expect(log).not.toContain(LOGIN.password);
  });

  test("a checksum in the settings holds for the archive", async () => {
    const right = await volume.fetch([...ARCHIVE, "--sha256", sha256(archive)], reader());
    expect(right).toMatchObject({ code: 0 });
    const other = new Volume(mkdtempSync(join(scratch, "volume-")));
    const wrong = await other.fetch([...ARCHIVE, "--sha256", "0".repeat(64)], reader());
    expect(wrong.code).toBe(78);
    expect(wrong.log).toContain(sha256(archive));
    expect(other.hasModel()).toBe(false);
  });

  test("without its authority the server is not trusted", async () => {
    const env = { ...reader(), SSL_CERT_FILE: "/etc/ssl/certs/ca-certificates.crt" };
    const { code, log } = await volume.fetch(ARCHIVE, env);
    expect(code).toBe(78);
    expect(log).toContain("certificate is not trusted: give its CA (SSL_CERT_FILE)");
    expect(volume.hasModel()).toBe(false);
  });

  test("a wrong password is given up at once, and not told", async () => {
    const env = { ...reader(), ARTIFACTORY_PASSWORD: "another word 9f" };
    const { code, log } = await volume.fetch(ARCHIVE, env);
    expect(code).toBe(78);
    expect(log).toContain("401");
    expect(log).not.toContain("another word 9f");
    expect(volume.hasModel()).toBe(false);
  });
});

describe("a bad link to it", () => {
  // One transfer at a time over a file that is one range: every connection is cut at the same place.
  const whole = { connections: 1, files_at_once: 1, chunk_bytes: 8 << 20 };

  test.each([10, 50, 99])(
    "each connection cut at %d percent of the archive",
    async (percent) => {
      const bytes = Math.floor((archive.length * percent) / 100);
      await toArtifactory.spoil({ type: "limit_data", attributes: { bytes } });
      const before = artifactory.downloads().length;
      const ended = await volume.fetch(ARCHIVE, reader(toArtifactory.port), whole);
      expect(ended).toMatchObject({ code: 0 });
      expect(folderDigests(volume.model)).toEqual(DIGESTS);
      const connections = artifactory.downloads().length - before;
      expect(connections).toBeGreaterThanOrEqual(Math.ceil(100 / percent));
    },
    60 * SECONDS,
  );

  test(
    "each connection cut at half of a shard of the folder",
    async () => {
      await toArtifactory.spoil({ type: "limit_data", attributes: { bytes: 500_000 } });
      const ended = await volume.fetch(FOLDER, reader(toArtifactory.port));
      expect(ended).toMatchObject({ code: 0 });
      expect(folderDigests(volume.model)).toEqual(DIGESTS);
    },
    60 * SECONDS,
  );

  test(
    "a quarter of a second before every answer",
    async () => {
      await toArtifactory.spoil({ type: "latency", attributes: { latency: 250 } });
      const ended = await volume.fetch(FOLDER, reader(toArtifactory.port));
      expect(ended).toMatchObject({ code: 0 });
      expect(folderDigests(volume.model)).toEqual(DIGESTS);
    },
    60 * SECONDS,
  );

  test(
    "slow, but not too slow: it is waited for",
    async () => {
      await toArtifactory.spoil({ type: "bandwidth", attributes: { rate: 500 } });
      const since = performance.now();
      const slow = { ...whole, low_speed_bytes: 10_000, low_speed_seconds: 1 };
      const ended = await volume.fetch(ARCHIVE, reader(toArtifactory.port), slow);
      expect(ended).toMatchObject({ code: 0 });
      expect(folderDigests(volume.model)).toEqual(DIGESTS);
      expect(performance.now() - since).toBeGreaterThan(0.8 * (archive.length / 500));
    },
    60 * SECONDS,
  );

  test(
    "silent: worth another start, nothing to be seen; and that one succeeds",
    async () => {
      await toArtifactory.spoil({ type: "timeout", attributes: { timeout: 0 } });
      const impatient = { connect_seconds: 1, low_speed_seconds: 1, retry_seconds: 3 };
      const ended = await volume.fetch(ARCHIVE, reader(toArtifactory.port), impatient);
      expect(ended.code).toBe(75);
      expect(ended.log).not.toContain(LOGIN.password);
      expect(volume.hasModel()).toBe(false);
      await toArtifactory.heal();
      const again = await volume.fetch(ARCHIVE, reader(toArtifactory.port));
      expect(again).toMatchObject({ code: 0 });
      expect(folderDigests(volume.model)).toEqual(DIGESTS);
    },
    60 * SECONDS,
  );
});

describe("fake-gcs-server", () => {
  const source = (path: string, endpoint: string): string[] => [
    ...["gcs", "--uri", `gs://models/${path}`, "--endpoint", endpoint, "--anonymous"],
  ];

  test.each(["tiny", "tiny.tar.gz"])("%s arrives, and is asked for once", async (path) => {
    const first = await volume.fetch(source(path, storage.endpoint));
    expect(first).toMatchObject({ code: 0 });
    expect(folderDigests(volume.model)).toEqual(DIGESTS);
    const before = storage.downloads().length;
    expect(before).toBeGreaterThan(0);
    expect(await volume.fetch(source(path, storage.endpoint))).toMatchObject({ code: 0 });
    expect(storage.downloads()).toHaveLength(before);
  });

  test(
    "through connections that end after 300 000 bytes",
    async () => {
      await toStorage.spoil({ type: "limit_data", attributes: { bytes: 300_000 } });
      const endpoint = `http://${loopback.address}:${String(toStorage.port)}`;
      const ended = await volume.fetch(source("tiny", endpoint));
      expect(ended).toMatchObject({ code: 0 });
      expect(folderDigests(volume.model)).toEqual(DIGESTS);
    },
    60 * SECONDS,
  );

  test("a prefix without objects is given up", async () => {
    const { code, log } = await volume.fetch(source("nothing", storage.endpoint));
    expect(code).toBe(78);
    expect(log).toContain("gs://models/nothing");
  });
});

test("data to train on, from both of them; a model is refused in its place", async () => {
  const bucket = ["gcs", "--uri", "gs://models/facts", "--endpoint", storage.endpoint];
  for (const source of [
    ["artifactory", "--path", "models/facts.tar.gz"],
    ["artifactory", "--path", "models/facts"],
    [...bucket, "--anonymous"],
  ]) {
    const other = new Volume(mkdtempSync(join(scratch, "volume-")));
    expect(await other.fetch([...source, "--data"], reader())).toMatchObject({ code: 0 });
    expect(folderDigests(other.model)).toEqual(digests(DATA));
  }
  const { code, log } = await volume.fetch([...ARCHIVE, "--data"], reader());
  expect(code).toBe(78);
  expect(log).toContain("the source holds no dataset_info.json");
});

test("a hub whose large files are on another host", async () => {
  const { endpoint, revision } = hub;
  const source = ["huggingface", "--id", "maker/tiny", "--revision", revision];
  const all = [...source, "--endpoint", endpoint];
  expect(await volume.fetch(all)).toMatchObject({ code: 0 });
  expect(folderDigests(volume.model)).toEqual(DIGESTS);
  const before = hub.downloads().length;
  expect(before).toBeGreaterThanOrEqual(Object.keys(MODEL).length);
  expect(await volume.fetch(all)).toMatchObject({ code: 0 });
  expect(hub.downloads()).toHaveLength(before);
});
