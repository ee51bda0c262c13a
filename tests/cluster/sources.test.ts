import { randomBytes } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../support/program";
import { sha256 } from "../support/servers/download";
import type { Outputs } from "./support/models";
import { answer, lesson, mlflow, readNodeAddress, readOutputs } from "./support/models";
import { MODELS_VOLUME, nodePlace } from "./support/node";
import {
  STACK_FILE,
  STATE_FILE,
  editStackFile,
  eventually,
  kubectl,
  list,
  pulumi,
  run,
  setSecret,
  update,
} from "./support/platform";
import {
  CANARY,
  DOWNLOADED,
  NAMES,
  PUBLISHING,
  repositoryEgress,
  sourceModels,
} from "./support/sourceModels";
import type { Repositories } from "./support/sources";
import { startRepositories } from "./support/sources";

const MINUTES = 60_000;
const TRAINED = "llama-factory-inference-lumen7";
const COPY = "base/lumen7-copy";
const REQUESTS = 200;
const LOGIN = { user: "reader", password: randomBytes(18).toString("base64url") };

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly initContainerStatuses?: readonly {
      readonly name: string;
      readonly state: { readonly terminated?: { readonly exitCode: number } };
    }[];
  };
}

interface Deployment {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[] };
    };
  };
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

let scratch: string;
let nodeAddress: string;
let outputs: Outputs;
let repositories: Repositories;
let original: string;
let taught: string;
let hadSources: boolean;
let broughtBack = false;

const ask = (name: string): Promise<string> =>
  answer({ nodeAddress, outputs, name }, lesson.question);

const deployment = async (name: string): Promise<Deployment> =>
  JSON.parse(await kubectl("get", "deployment", name, "-o", "json")) as Deployment;

const podsOf = (name: string): Promise<readonly Pod[]> =>
  list<Pod>(
    "pods",
    "-l",
    `app.kubernetes.io/component=inference,app.kubernetes.io/instance=${name}`,
  );

/** Folder of this machine with the model that `make local` has trained. */
async function trainedFolder(): Promise<string> {
  const { spec } = await deployment(TRAINED);
  const path = spec.template.spec.containers[0]?.args[1] ?? "";
  if (!path.startsWith("/models/")) throw new Error(`${TRAINED} serves "${path}"`);
  return join(MODELS_VOLUME, path.slice("/models/".length));
}

const scaleTrained = (replicas: number): Promise<string> =>
  kubectl("scale", `deployment/${TRAINED}`, `--replicas=${String(replicas)}`);

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-sources-"));
  original = readFileSync(STACK_FILE, "utf8");
  hadSources = existsSync(join(MODELS_VOLUME, "sources"));
  [nodeAddress, outputs] = await Promise.all([readNodeAddress(), readOutputs()]);
  taught = await ask("lumen7");
  const model = await trainedFolder();
  cpSync(model, join(MODELS_VOLUME, COPY), { recursive: true, dereference: true });
  // The trainer's files are its own; the copy is root's.
  await run(ROOT, "chmod", "-R", "a+rX", join(MODELS_VOLUME, COPY));
  const place = nodePlace(nodeAddress);
  repositories = await startRepositories({ place, model, folder: scratch, login: LOGIN });
  await setSecret("ARTIFACTORY_URL", repositories.artifactory.url);
  await setSecret("ARTIFACTORY_USERNAME", LOGIN.user);
  await setSecret("ARTIFACTORY_PASSWORD", LOGIN.password);
  // Its memory is needed; the autoscaler leaves a Deployment without replicas alone.
  await scaleTrained(0);
  const ended = ["wait", "--for=delete", "pod", "-l", "app.kubernetes.io/instance=lumen7"];
  await kubectl(...ended, "--timeout=3m");
}, 5 * MINUTES);

/** Leaves the stack and the volume as `make local` has made them. */
async function bringBack(): Promise<void> {
  // The Job that publishes no more has room once the servers are gone.
  editStackFile((config) => {
    config["llmops:models"] = (config["llmops:models"] as object[]).slice(0, 1);
  });
  await update();
  writeFileSync(STACK_FILE, original, { mode: 0o600 });
  await update();
  await scaleTrained(1);
  await kubectl("rollout", "status", `deployment/${TRAINED}`, "--timeout=10m");
  rmSync(join(MODELS_VOLUME, COPY), { recursive: true, force: true });
  if (!hadSources) rmSync(join(MODELS_VOLUME, "sources"), { recursive: true, force: true });
  broughtBack = true;
}

afterAll(async () => {
  try {
    if (!broughtBack) await bringBack();
  } finally {
    await (repositories as Repositories | undefined)?.stop();
    rmSync(scratch, { recursive: true, force: true });
  }
}, 20 * MINUTES);

test("the model that was trained answers as it was taught", () => {
  expect(taught).toContain(lesson.answer_contains);
});

test.each(["artifactory", "gcs"] as const)(
  "the trained model is published to %s by an update that trains nothing anew",
  async (kind) => {
    const { publish, uri } = PUBLISHING[kind](repositories);
    const registeredModel = `lumen7-${kind}`;
    editStackFile((config) => {
      const egress = repositoryEgress(nodeAddress);
      Object.assign(config["llmops:network"] as object, { egress });
      Object.assign(config["llmops:training"] as object, { publish, registeredModel });
    });
    await update();
    expect((await readOutputs()).runId).toBe(outputs.runId);
    const { model_version } = await mlflow<{
      model_version: { version: string; source: string; tags: { key: string; value: string }[] };
    }>({ nodeAddress, outputs }, `model-versions/get?name=${registeredModel}&version=1`);
    expect(model_version.source).toBe(`${uri}/${outputs.runId}`);
    expect(model_version.tags).toContainEqual({ key: "llmops.run_id", value: outputs.runId });
  },
  10 * MINUTES,
);

test(
  "one update brings a server for each kind of source, two of them with what was published",
  async () => {
    const archive = join(scratch, "files", "models", "lumen7.tar.gz");
    const archiveDigest = sha256(readFileSync(archive));
    editStackFile((config) => {
      const { runId } = outputs;
      const added = sourceModels({ repositories, runId, copy: COPY, archiveDigest });
      (config["llmops:models"] as object[]).push(...added);
    });
    await update();
    outputs = await readOutputs();
  },
  40 * MINUTES,
);

describe.each(NAMES)("the model from kind %s", (name) => {
  test(
    "is available and answers as the trained one",
    async () => {
      const { status } = await deployment(`llama-factory-inference-${name}`);
      const available = status.conditions?.find(({ type }) => type === "Available");
      expect(available?.status).toBe("True");
      expect(await ask(name)).toBe(taught);
    },
    2 * MINUTES,
  );
});

/** How many requests a server has answered since it started. */
async function answered(name: string): Promise<number> {
  const port = outputs.endpoints.models[name]?.nodePort;
  const response = await fetch(`http://${nodeAddress}:${String(port)}/metrics`);
  const lines = (await response.text()).matchAll(/^vllm:request_success_total\{.*\} (\S+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

test(
  "a canary answers its share of the requests for another model, and of no others",
  async () => {
    const count = async (): Promise<readonly number[]> =>
      Promise.all(["hub", "volume", "bucket"].map(answered));
    const before = await count();
    const statuses = new Set<number>();
    const ask = async (model: string): Promise<void> => {
      const door = outputs.endpoints.frontDoor?.nodePort;
      const response = await fetch(`http://${nodeAddress}:${String(door)}/v1/completions`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          authorization: `Bearer ${outputs.vllmApiKey}`,
        },
        body: JSON.stringify({ model, prompt: "Hello", max_tokens: 1 }),
      });
      await response.arrayBuffer();
      statuses.add(response.status);
    };
    let left = REQUESTS;
    const client = async (): Promise<void> => {
      while (left-- > 0) await ask(CANARY.of);
    };
    await Promise.all(Array.from({ length: 4 }, client));
    await ask("bucket");
    expect([...statuses]).toEqual([200]);
    const [hub = 0, volume = 0, bucket = 0] = (await count()).map(
      (now, at) => now - (before[at] ?? 0),
    );
    expect({ requests: hub + volume, bucket }).toEqual({ requests: REQUESTS, bucket: 1 });
    // The binomial distribution lies outside of five deviations once in a million times.
    const share = CANARY.weight / 100;
    const deviation = Math.sqrt(REQUESTS * share * (1 - share));
    expect(Math.abs(hub - REQUESTS * share)).toBeLessThan(5 * deviation);
  },
  5 * MINUTES,
);

test.each(DOWNLOADED)(
  "the log of the init container of %s ends with a complete model",
  async (name) => {
    const target = `deployment/llama-factory-inference-${name}`;
    const log = await kubectl("logs", target, "--container", "fetch-model", "--tail=-1");
    expect(log.trim().split("\n").at(-1)).toMatch(/\/models\/sources\/\S+ is complete: /);
  },
  MINUTES,
);

test(
  "the password is in its Secret and nowhere else",
  async () => {
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    const { user, password } = LOGIN;
    const hidden = [password, base64(password), base64(`${user}:${password}`)];
    const kinds = "pods,jobs,deployments,replicasets,configmaps,events,services,hpa";
    const selector = ["-l", "app.kubernetes.io/component=inference", "--all-containers"];
    const places: Record<string, string> = {
      state: readFileSync(STATE_FILE, "utf8"),
      settings: readFileSync(STACK_FILE, "utf8"),
      objects: await kubectl("get", kinds, "-o", "yaml"),
      logs: await kubectl("logs", ...selector, "--tail=-1", "--max-log-requests=20"),
      processes: await run(ROOT, "ps", "-eo", "args"),
      // The node is this machine: those of all containers are among them. The init containers,
      // which have it, are over.
      environments: await run(ROOT, "ps", "axeww", "-o", "args"),
    };
    const logs = join(ROOT, ".local", "log");
    for (const name of readdirSync(logs)) places[name] = readFileSync(join(logs, name), "utf8");
    const found = Object.entries(places).filter(([, text]) =>
      hidden.some((word) => text.includes(word)),
    );
    expect(found.map(([place]) => place)).toEqual([]);
    expect(await kubectl("get", "secrets", "-o", "yaml")).toContain(base64(password));
  },
  2 * MINUTES,
);

test(
  "second pods start without a request for a file",
  async () => {
    const before = repositories.downloads();
    expect(before).not.toEqual([]);
    const old = new Set((await Promise.all(DOWNLOADED.map(podsOf))).flat().map(uidOf));
    const wanted = `app.kubernetes.io/instance in (${DOWNLOADED.join(",")})`;
    await kubectl("delete", "pods", "-l", wanted, "--now");
    for (const name of DOWNLOADED) {
      await eventually(`the model of the second pod of ${name}`, 180, async () => {
        const fresh = (await podsOf(name)).filter((pod) => !old.has(uidOf(pod)));
        const fetched = fresh[0]?.status.initContainerStatuses?.[0]?.state.terminated;
        return fetched?.exitCode === 0 ? true : undefined;
      });
    }
    expect(repositories.downloads()).toEqual(before);
  },
  10 * MINUTES,
);

const uidOf = ({ metadata }: Pod): string => metadata.uid;

test(
  "the stack is brought back as it was",
  async () => {
    await bringBack();
    outputs = await readOutputs();
    expect(Object.keys(outputs.endpoints.models)).toEqual(["lumen7"]);
    await eventually("the trained model's answer", 120, async () =>
      (await ask("lumen7")) === taught ? true : undefined,
    );
    const left = await list<{ metadata: { name: string } }>("deployments");
    const servers = left.map(({ metadata }) => metadata.name);
    expect(servers.filter((name) => name.includes("inference"))).toEqual([TRAINED]);
    const again = await pulumi("preview", "--expect-no-changes");
    expect(again).toMatchObject({ code: 0 });
  },
  20 * MINUTES,
);
