import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/ports";
import type { Artifactory } from "../support/servers/artifactory";
import { startArtifactory } from "../support/servers/artifactory";
import type { CloudStorage } from "../support/servers/cloudStorage";
import { startCloudStorage } from "../support/servers/cloudStorage";
import type { Ended } from "../support/servers/download";
import {
  Volume,
  digests,
  folderDigests,
  makeModel,
  runModels,
  writeTree,
} from "../support/servers/download";
import type { FaultyLink } from "../support/servers/faultyLink";
import { startLinks } from "../support/servers/faultyLink";
import { loopback } from "../support/servers/server";

const SECONDS = 1000;
const MODEL = makeModel(6_000_000);
const DIGESTS = digests(MODEL);
const LOGIN = { user: "publisher", password: "p:ss wörd 9a4f" };

let scratch: string;
let artifactory: Artifactory;
let storage: CloudStorage;
let toArtifactory: FaultyLink;
let toStorage: FaultyLink;
const running: { stop(): Promise<void> }[] = [];

const folder = (name: string): string => {
  const path = join(scratch, name);
  mkdirSync(path, { recursive: true });
  return path;
};

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-publishing-"));
  writeTree(folder("model"), MODEL);
  writeFileSync(join(folder("files/models"), "a-bucket-needs-an-object"), "");
  const server = async (name: string) => ({
    place: loopback,
    port: await freePort(),
    folder: folder(name),
  });
  const nginx = await server("nginx");
  const gcs = await server("gcs");
  const links = await startLinks(folder("links"));
  running.push(links);
  toArtifactory = await links.to(nginx.port);
  toStorage = await links.to(gcs.port);
  artifactory = await startArtifactory({ ...nginx, files: folder("files"), login: LOGIN });
  running.push(artifactory);
  storage = await startCloudStorage({ ...gcs, buckets: folder("files") });
  running.push(storage);
}, 60 * SECONDS);

afterAll(async () => {
  await Promise.all(running.map((server) => server.stop()));
  rmSync(scratch, { recursive: true, force: true });
});

async function text(url: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(url, { headers });
  if (!response.ok) throw new Error(`${url}: ${String(response.status)}`);
  return response.text();
}

/** A repository as `publish` and `fetch` are told of it. */
interface Repository {
  readonly target: (name: string) => readonly string[];
  readonly source: (path: string) => readonly string[];
  readonly env: () => Record<string, string>;
  readonly uploads: () => readonly string[];
  /** What `latest` says below a target. */
  readonly latest: (name: string) => Promise<string>;
  readonly link: () => FaultyLink;
}

const REPOSITORIES: Record<string, Repository> = {
  Artifactory: {
    target: (name) => ["artifactory", "--path", `models/${name}`],
    source: (path) => ["artifactory", "--path", `models/${path}`],
    env: () => ({
      ARTIFACTORY_URL: `http://${loopback.address}:${String(toArtifactory.port)}`,
      ARTIFACTORY_USERNAME: LOGIN.user,
      ARTIFACTORY_PASSWORD: LOGIN.password,
    }),
    uploads: () => artifactory.uploads(),
    latest: (name) =>
      text(`${artifactory.url}/models/${name}/latest`, {
        authorization: `Basic ${Buffer.from(`${LOGIN.user}:${LOGIN.password}`).toString("base64")}`,
      }),
    link: () => toArtifactory,
  },
  "Cloud Storage": {
    target: (name) => bucket(name),
    source: (path) => bucket(path),
    env: () => ({}),
    uploads: () => storage.uploads(),
    latest: (name) => {
      const object = encodeURIComponent(`${name}/latest`);
      return text(`${storage.endpoint}/storage/v1/b/models/o/${object}?alt=media`);
    },
    link: () => toStorage,
  },
};

const bucket = (path: string): readonly string[] => [
  ...["gcs", "--uri", `gs://models/${path}`, "--anonymous"],
  ...["--endpoint", `http://${loopback.address}:${String(toStorage.port)}`],
];

describe.each(Object.entries(REPOSITORIES))("publishing to %s", (_, repository) => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(scratch, "home-"));
  });
  afterEach(() => repository.link().heal());

  const publish = (
    name: string,
    run = "run-1",
    onLog: (text: string) => void = () => undefined,
  ): Promise<Ended> =>
    runModels({
      home,
      onLog,
      args: [
        ...["publish", ...repository.target(name), "--run", run],
        ...["--folder", join(scratch, "model"), "--record", join(home, "published.json")],
      ],
      env: repository.env(),
    });

  /** The files at a path of the repository. */
  async function fetched(path: string): Promise<Readonly<Record<string, string>>> {
    const volume = new Volume(mkdtempSync(join(scratch, "volume-")));
    const ended = await volume.fetch(repository.source(path), repository.env());
    if (ended.code !== 0) throw new Error(ended.log);
    return folderDigests(volume.model);
  }

  const record = (): unknown =>
    JSON.parse(readFileSync(join(home, "published.json"), "utf8")) as unknown;

  test("what is fetched from there is what was published", async () => {
    const ended = await publish("first");
    expect(ended).toMatchObject({ code: 0 });
    expect(ended.log).not.toContain(LOGIN.password);
    expect(await fetched("first/run-1")).toEqual(DIGESTS);
    expect(record()).toMatchObject({ runId: "run-1", uploaded: Object.keys(MODEL).length });
  });

  test("publishing again sends nothing", async () => {
    expect(await publish("twice")).toMatchObject({ code: 0 });
    const before = repository.uploads().length;
    expect(before).toBeGreaterThan(0);
    expect(await publish("twice")).toMatchObject({ code: 0 });
    expect(repository.uploads()).toHaveLength(before);
    expect(record()).toMatchObject({ uploaded: 0, skipped: Object.keys(MODEL).length });
  });

  test("latest names the last run, and the one before stays", async () => {
    expect(await publish("moved", "run-1")).toMatchObject({ code: 0 });
    expect(await publish("moved", "run-2")).toMatchObject({ code: 0 });
    expect((await repository.latest("moved")).trim()).toBe("run-2");
    expect(await fetched("moved/run-1")).toEqual(DIGESTS);
  });

  test(
    "an upload through connections that end midway is whole once they last",
    async () => {
      const { link } = repository;
      await link().spoil({ type: "limit_data", attributes: { bytes: 5_000_000 } }, "upstream");
      const healed: Promise<void>[] = [];
      const ended = await publish("cut", "run-1", (text) => {
        if (text.includes("; again in ") && healed.length === 0) healed.push(link().heal());
      });
      await Promise.all(healed);
      expect(ended).toMatchObject({ code: 0 });
      expect(healed).toHaveLength(1);
      expect(await fetched("cut/run-1")).toEqual(DIGESTS);
    },
    60 * SECONDS,
  );
});
