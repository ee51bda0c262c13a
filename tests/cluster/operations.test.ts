import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { volumesMount } from "../../local/cluster/options.ts";
import { Final, until } from "../../local/cluster/poll.ts";
import { ROOT } from "../support/program";
import type { CloudStorage } from "../support/servers/cloudStorage";
import type { Collector } from "../support/servers/collector";
import { startCollector } from "../support/servers/collector";
import type { Hub } from "../support/servers/hub";
import { codeBlocks } from "./support/documented";
import type { Guarded, GuardedOptions } from "./support/guarded";
import {
  GUARDED_PORTS,
  guardedArtifactory,
  guardedHub,
  guardedStorage,
  newToken,
  newTraceLogin,
} from "./support/guarded";
import type { Outputs } from "./support/models";
import { mlflow, readNodeAddress } from "./support/models";
import { MODELS_VOLUME, VOLUMES, nodePlace } from "./support/node";
import { plainManifests } from "./support/plainManifests";
import { STACK_FILE, eventually, run } from "./support/platform";
import type { Outcome } from "./support/platform";
import type { Pod } from "./support/pods";
import { firstProcess } from "./support/pods";
import type { ApiObject, Workloads } from "./support/rollouts";
import { ROLLED_KINDS, platformWorkloads, rolled, workloadsOf } from "./support/rollouts";
import { SecondStack } from "./support/secondStack";
import type { StackSettings } from "./support/secondStack";

const MINUTES = 60_000;
const NAME = "operations";
const BASE = "base/SmolLM2-135M-Instruct";
const PUBLISHED = "gs://models/published";
const STEPS = 30;
const POSTGRES = "mlflow-postgres-0";
const NODE_PORTS = { mlflow: 30501, model: 30801, frontDoor: 30881 };

/** Folders of the volumes, by what they are for. */
const FOLDERS = ["models", "data", "mlflow", "database", "backup"] as const;
const folderOf = (name: (typeof FOLDERS)[number]): string => join(VOLUMES, NAME, name);
const onNode = (name: (typeof FOLDERS)[number]): string => `${volumesMount}/${NAME}/${name}`;

let scratch: string;
let nodeAddress: string;
let servers: GuardedOptions;
const running: { stop(): Promise<void> }[] = [];
let hub: Guarded<Hub, "HF_TOKEN">;
let artifactory: Awaited<ReturnType<typeof guardedArtifactory>>;
let storage: Guarded<CloudStorage, "GCS_KEY">;
let collector: Collector;
let traceLogin = newTraceLogin();
let stack: SecondStack;
let outputs: Outputs;
/** Uids of what was there before the stack, by kind and name. */
let found: Readonly<Record<string, string>>;
/** An update that a test has not waited for. */
let underWay: Promise<Outcome> | undefined;

/** The commands of a section of a document, in this namespace. */
const documented = (document: string, heading: string): readonly string[] =>
  codeBlocks(document, heading).map((code) => code.replaceAll("-n llmops ", `-n ${NAME} `));

const takingOver = ["docs/operations.md", "Moving from plain manifests"] as const;

/** Starts everything that the stack reads from or sends to, each with secrets of its own. */
async function startServers(): Promise<void> {
  servers = { place: nodePlace(nodeAddress), scratch, model: join(MODELS_VOLUME, BASE) };
  hub = await untilTheEnd(guardedHub(servers));
  artifactory = await untilTheEnd(guardedArtifactory(servers, GUARDED_PORTS.artifactory[0]));
  storage = await untilTheEnd(guardedStorage(servers));
  const folder = mkdtempSync(join(scratch, "collector-"));
  collector = await startCollector({ ...servers, port: GUARDED_PORTS.collector, folder });
  running.push(collector);
}

/** Has a server end with the tests, if it does not before. */
async function untilTheEnd<T extends { readonly server: { stop(): Promise<void> } }>(
  starting: Promise<T>,
): Promise<T> {
  const started = await starting;
  running.push(started.server);
  return started;
}

/** What there was before this program, with data in it. */
async function makePlainPlatform(): Promise<void> {
  for (const name of FOLDERS) mkdirSync(folderOf(name), { recursive: true });
  cpSync(join(MODELS_VOLUME, BASE), join(folderOf("models"), BASE), { recursive: true });
  cpSync(join(ROOT, "examples/lumen7"), folderOf("data"), { recursive: true });
  await run(ROOT, "chown", "-R", "10001:10001", join(VOLUMES, NAME));
  const folders = { "model-output-pvc": onNode("models"), "training-data-pvc": onNode("data") };
  const manifests = join(scratch, "plain.json");
  const plain = plainManifests({ namespace: NAME, folders, hubToken: hub.secrets.HF_TOKEN });
  writeFileSync(manifests, JSON.stringify(plain), { mode: 0o600 });
  await run(ROOT, "kubectl", "create", "-f", manifests);
}

/** The smallest of everything that the tests look at; cluster and images are those of the running platform. */
function settings(): StackSettings {
  const running = (parse(readFileSync(STACK_FILE, "utf8")) as { config: StackSettings }).config;
  const [documentedSettings = ""] = codeBlocks(...takingOver, "yaml");
  const adopted = parse(documentedSettings) as Record<string, object>;
  const claim = (name: (typeof FOLDERS)[number]): object => ({
    volume: { kind: "hostPath", path: onNode(name), node: "llmops-local" },
  });
  const resources = { cpu: "50m", memory: "512Mi" };
  const service = (nodePort: number): object => ({ type: "NodePort", nodePort });
  return {
    "llmops:cluster": running["llmops:cluster"],
    "llmops:images": running["llmops:images"],
    ...adopted,
    "llmops:namespace": NAME,
    "llmops:storage": {
      ...adopted["llmops:storage"],
      mlflow: claim("mlflow"),
      mlflowDatabase: claim("database"),
      mlflowBackup: claim("backup"),
    },
    "llmops:mlflow": {
      backend: { kind: "postgres", backup: {}, resources },
      auth: { enabled: true },
      gc: { olderThanDays: 30 },
      allowedHosts: ["10.*"],
      resources: { cpu: "100m", memory: "2Gi" },
      service: service(NODE_PORTS.mlflow),
    },
    "llmops:models": [
      {
        name: "base",
        source: { kind: "volume", path: BASE },
        options: {
          "max-model-len": 512,
          "enforce-eager": true,
          dtype: "bfloat16",
          "num-gpu-blocks-override": 32,
        },
        replicas: { min: 1, max: 1 },
        resources: { cpu: "100m", memory: "3584Mi", shm: "64Mi" },
        cpuKvCacheGiB: 1,
        service: service(NODE_PORTS.model),
      },
    ],
    "llmops:frontDoor": {
      enabled: true,
      replicas: 1,
      maxBodyMiB: 1,
      resources: { cpu: "50m", memory: "256Mi" },
      service: service(NODE_PORTS.frontDoor),
    },
    "llmops:network": {
      clientCidrs: ["10.201.0.0/16"],
      egress: [{ cidr: `${nodeAddress}/32`, ports: Object.values(GUARDED_PORTS).flat() }],
    },
    "llmops:tracing": {
      kind: "otlp",
      endpoint: collector.endpoint,
      cidr: `${nodeAddress}/32`,
      ratio: 1,
    },
  };
}

/** The training section of the stack, and the file that it names. */
function trainingSettings(): { readonly section: object; readonly file: string } {
  const example = parse(readFileSync(join(ROOT, "examples/lumen7/lora.yaml"), "utf8")) as object;
  const short = {
    dataset: "general",
    per_device_train_batch_size: 2,
    max_steps: STEPS,
    save_steps: STEPS,
    plot_loss: false,
  };
  const { endpoint, revision } = hub.server;
  const section = {
    configFile: "short.yaml",
    baseModel: { kind: "huggingface", id: "maker/base", revision, endpoint, gated: true },
    data: { kind: "volume" },
    merge: false,
    publish: { kind: "gcs", target: PUBLISHED, endpoint: storage.server.endpoint },
    experiment: NAME,
    resources: { cpu: "100m", memory: "4Gi", shm: "64Mi" },
    fetchResources: { cpu: "50m", memory: "512Mi" },
    timeoutMinutes: 20,
  };
  return { section, file: stringify({ ...example, ...short }) };
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-operations-"));
  nodeAddress = await readNodeAddress();
  await startServers();
  await makePlainPlatform();
  found = await identities();
  stack = await SecondStack.create(NAME, settings());
  const { OTLP_HEADERS } = traceLogin;
  const others = { ...artifactory.secrets, ...storage.secrets, OTLP_HEADERS };
  await setSecrets({ ...others, WANDB_API_KEY: newToken() });
}, 2 * MINUTES);

afterAll(async () => {
  await underWay;
  await (stack as SecondStack | undefined)?.remove();
  await Promise.all(running.map((server) => server.stop()));
  const gone = ["--ignore-not-found", "--timeout=8m"];
  await run(ROOT, "kubectl", "delete", "namespace", NAME, ...gone);
  const volumes = JSON.parse(await run(ROOT, "kubectl", "get", "pv", "-o", "json")) as {
    items: { metadata: { name: string }; spec: { claimRef?: { namespace: string } } }[];
  };
  for (const { metadata, spec } of volumes.items) {
    const own = spec.claimRef?.namespace === NAME || metadata.name.startsWith(`${NAME}-`);
    if (own) await run(ROOT, "kubectl", "delete", "pv", metadata.name, ...gone);
  }
  rmSync(join(VOLUMES, NAME), { recursive: true, force: true });
  rmSync(scratch, { recursive: true, force: true });
}, 12 * MINUTES);

/** Uids of the namespace and the claims that were there before the stack. */
async function identities(): Promise<Record<string, string>> {
  const names = ["namespace/operations", "pvc/model-output-pvc", "pvc/training-data-pvc"];
  const args = ["--namespace", NAME, "get", ...names, "-o", "json"];
  const { items } = JSON.parse(await run(ROOT, "kubectl", ...args)) as { items: ApiObject[] };
  return Object.fromEntries(
    items.map(({ kind, metadata }) => [`${kind} ${metadata.name}`, metadata.uid]),
  );
}

/** What the claims were filled with, as it is on them now. */
function expectTheData(): void {
  const kept = readFileSync(join(folderOf("models"), BASE, "config.json"));
  expect(kept).toEqual(readFileSync(join(MODELS_VOLUME, BASE, "config.json")));
  const data = readFileSync(join(folderOf("data"), "general.json"));
  expect(data).toEqual(readFileSync(join(ROOT, "examples/lumen7/general.json")));
}

const workloads = async (): Promise<Workloads> =>
  workloadsOf(await stack.list<ApiObject>(ROLLED_KINDS));

async function setSecrets(secrets: Readonly<Record<string, string>>): Promise<void> {
  for (const [key, value] of Object.entries(secrets)) await stack.setSecret(key, value);
}

/** Value of a key in the one Secret of a base name. */
async function secretValue(base: string, key: string): Promise<string> {
  const all = await stack.list<ApiObject & { data?: Record<string, string> }>("secrets");
  const [secret, ...others] = all.filter(({ metadata }) =>
    new RegExp(`^${base}-[^-]+$`).test(metadata.name),
  );
  if (others.length > 0) throw new Error(`more than one Secret is a ${base}`);
  return Buffer.from(secret?.data?.[key] ?? "", "base64").toString();
}

/** Statuses of a chat with the model: at its own address, and through the front door. */
async function chatStatuses(key: string): Promise<readonly number[]> {
  const ask = async (port: number): Promise<number> => {
    const response = await fetch(`http://${nodeAddress}:${String(port)}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({
        model: "base",
        messages: [{ role: "user", content: "Hello" }],
        max_tokens: 2,
      }),
    });
    await response.arrayBuffer();
    return response.status;
  };
  return [await ask(NODE_PORTS.model), await ask(NODE_PORTS.frontDoor)];
}

const password = (): Promise<string> =>
  secretValue("mlflow-auth-secret", "MLFLOW_AUTH_ADMIN_PASSWORD");

interface TrackedRun {
  readonly info: { readonly run_id: string; readonly status: string };
}

/** The run in MLflow: how it has ended, and its loss at each step so far. */
async function tracked(): Promise<{
  readonly status: string;
  readonly losses: readonly (readonly [step: number, loss: number])[];
}> {
  const server = { nodeAddress, outputs, login: `admin:${await password()}` };
  const byName = `experiments/get-by-name?experiment_name=${NAME}`;
  const { experiment } = await mlflow<{ experiment: { experiment_id: string } }>(server, byName);
  const { runs = [] } = await mlflow<{ runs?: TrackedRun[] }>(server, "runs/search", {
    experiment_ids: [experiment.experiment_id],
  });
  const [run, ...others] = runs;
  if (run === undefined || others.length > 0) throw new Error("there is not one run");
  const query = `run_id=${run.info.run_id}&metric_key=loss&max_results=1000`;
  const { metrics = [] } = await mlflow<{ metrics?: { step: number; value: number }[] }>(
    server,
    `metrics/get-history?${query}`,
  );
  const losses = metrics.map(({ step, value }) => [step, value] as const);
  return { status: run.info.status, losses: losses.sort(([one], [other]) => one - other) };
}

/** The losses that the trainer has written so far. */
function written(id: string): readonly (readonly [step: number, loss: number])[] {
  const log = readFileSync(join(folderOf("models"), id, "trainer_log.jsonl"), "utf8");
  return log
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { current_steps: number; loss?: number })
    .flatMap(({ current_steps, loss }) => (loss === undefined ? [] : [[current_steps, loss]]));
}

const sql = (
  statement: string,
  as = "$(cat /var/run/secrets/postgres/password)",
): Promise<Outcome> =>
  stack.try(
    `kubectl -n ${NAME} exec ${POSTGRES} -- sh -c ` +
      `'PGPASSWORD=${as} psql -h 127.0.0.1 -U mlflow -v ON_ERROR_STOP=1 -At -c "${statement}" mlflow'`,
  );

test(
  "a platform of plain manifests is taken over by the documented commands: the same objects, with their data",
  async () => {
    const [giveSecret = "", move = ""] = documented(...takingOver);
    await stack.succeed(giveSecret);
    const printed = await stack.succeed(move);
    for (const name of [NAME, "model-output-pvc", "training-data-pvc"]) {
      expect(printed).toMatch(new RegExp(` = .* (llmops|${name}) import`));
    }
    outputs = await stack.outputs();
    expect(await identities()).toEqual(found);
    expectTheData();
    // The model that was on the claim is served from it.
    expect(await chatStatuses(outputs.vllmApiKey)).toEqual([200, 200]);
    const left = await stack.list<ApiObject>("jobs,deployments,hpa,secrets");
    const plain = ["llama-factory-train", "llama-factory-inference", "hf-secret"];
    expect(left.filter(({ metadata }) => plain.includes(metadata.name))).toEqual([]);
  },
  10 * MINUTES,
);

test(
  "Postgres is killed while a run trains: the run goes on, and every loss of it is in MLflow",
  async () => {
    const { section, file } = trainingSettings();
    stack.write("short.yaml", file);
    stack.edit((config) => {
      config["llmops:training"] = section;
      // From here on the model comes from Artifactory: that is another pod, beside the training's.
      const [model] = config["llmops:models"] as object[];
      const source = { kind: "artifactory", path: "models/base" };
      const fetchResources = { cpu: "50m", memory: "512Mi" };
      config["llmops:models"] = [{ ...model, source, fetchResources }];
    });
    let ended = false;
    underWay = stack.try("pulumi up --skip-preview").finally(() => (ended = true));
    await until("the first losses in MLflow", 480, async () => {
      if (ended)
        throw new Final(`the update has ended: ${(await underWay)?.text.slice(-4000) ?? ""}`);
      return (await tracked()).losses.length > 0 ? true : undefined;
    });
    const [job] = await stack.list<ApiObject>("jobs");
    const id = job?.metadata.name.replace("llama-factory-train-", "") ?? "";
    const [pod] = await stack.list<Pod>("pods", "-l", "app.kubernetes.io/component=postgres");
    if (pod === undefined) throw new Error("Postgres has no pod");
    // Nothing of it can say goodbye; and then another pod takes over.
    process.kill(firstProcess(pod), "SIGKILL");
    const before = written(id).length;
    await stack.kubectl("delete", "pod", POSTGRES, "--now");
    await stack.kubectl("rollout", "status", "statefulset/mlflow-postgres", "--timeout=2m");
    const meanwhile = written(id).length;
    expect(before).toBeLessThan(STEPS);
    expect(meanwhile).toBeGreaterThan(before);
    expect(await underWay).toMatchObject({ code: 0 });
    outputs = await stack.outputs();
    expect(outputs.runId).toBe(id);
    const losses = written(id);
    expect(losses.map(([step]) => step)).toEqual(Array.from({ length: STEPS }, (_, at) => at + 1));
    expect(await tracked()).toEqual({ status: "FINISHED", losses });
  },
  15 * MINUTES,
);

describe("other secrets roll the pods that use them, and no others", () => {
  /** Sets secrets and updates; gives the workloads that have rolled, and the Secrets because of which. */
  async function rotate(secrets: Readonly<Record<string, string>>): Promise<object> {
    await setSecrets(secrets);
    const [own, others] = [await workloads(), await platformWorkloads()];
    const names = await secretNames();
    await stack.succeed("pulumi up --skip-preview");
    expect(rolled(others, await platformWorkloads())).toEqual({});
    // Each old Secret has gone, and a new one has come.
    expect(await secretNames()).toHaveLength(names.length);
    return rolled(own, await workloads());
  }

  const secretNames = async (): Promise<readonly string[]> =>
    (await stack.list<ApiObject>("secrets")).map(({ metadata }) => metadata.name);

  /** The run was complete: its losses are the same, nothing of it is gone, and it has told W&B of nothing. */
  async function expectNothingTrainedAnew(): Promise<void> {
    expect((await stack.outputs()).runId).toBe(outputs.runId);
    expect((await tracked()).losses).toEqual(written(outputs.runId));
    const log = await stack.kubectl("logs", `job/llama-factory-train-${outputs.runId}`);
    expect(log).toContain(`run ${outputs.runId} is complete`);
    expect(log).not.toContain("llamafactory-cli");
    expect(existsSync(join(folderOf("models"), outputs.runId, "wandb"))).toBe(false);
  }

  /** Status of a page for who has this login. */
  async function status(url: string, authorization: string): Promise<number> {
    const response = await fetch(url, { headers: { authorization } });
    await response.arrayBuffer();
    return response.status;
  }

  test(
    "of the hub, the database and W&B; and the namespace that is no longer adopted enforces Pod Security",
    async () => {
      const [oldToken, newDatabase] = [hub.secrets.HF_TOKEN, newToken()];
      const oldDatabase = await secretValue("mlflow-database-secret", "MLFLOW_DB_PASSWORD");
      await hub.server.stop();
      hub = await untilTheEnd(guardedHub(servers));
      // What is there is not downloaded again.
      rmSync(join(folderOf("models"), "sources"), { recursive: true });
      await stack.succeed("pulumi config rm adoptNamespace");
      stack.edit((config) => {
        Object.assign(config["llmops:training"] as object, { tracking: { wandb: true } });
      });
      const secrets = { ...hub.secrets, MLFLOW_DB_PASSWORD: newDatabase };
      expect(await rotate({ ...secrets, WANDB_API_KEY: newToken() })).toEqual({
        [`Job llama-factory-train-${outputs.runId}`]: ["hf-secret", "wandb-secret"],
        "Deployment mlflow": ["mlflow-database-secret"],
        "StatefulSet mlflow-postgres": ["mlflow-database-secret"],
      });
      expect(hub.server.downloads().join()).toContain("model.safetensors");
      const info = `${hub.server.endpoint}/api/models/maker/base`;
      expect(await status(info, `Bearer ${oldToken}`)).toBe(401);
      expect(await sql("SELECT 1", newDatabase)).toMatchObject({ code: 0, stdout: "1\n" });
      const old = await sql("SELECT 1", oldDatabase);
      expect(old.text).toContain("password authentication failed");
      await expectNothingTrainedAnew();
      const [namespace] = await stack.list<ApiObject & { metadata: { labels: object } }>(
        "namespaces",
        `--field-selector=metadata.name=${NAME}`,
      );
      expect(namespace?.metadata.labels).toMatchObject({
        "pod-security.kubernetes.io/enforce": "restricted",
      });
    },
    10 * MINUTES,
  );

  test(
    "of Artifactory, Cloud Storage, W&B, the collector, the models and MLflow's login",
    async () => {
      const [oldKey, newKey] = [outputs.vllmApiKey, newToken()];
      const [oldLogin, newLogin] = [await password(), newToken()];
      const login = (word: string): Promise<unknown> =>
        mlflow(
          { nodeAddress, outputs, login: `admin:${word}` },
          `experiments/get-by-name?experiment_name=${NAME}`,
        );
      const { ARTIFACTORY_USERNAME: user, ARTIFACTORY_PASSWORD: word } = artifactory.secrets;
      const oldReader = btoa(`${user}:${word}`);
      await Promise.all([artifactory.server.stop(), storage.server.stop()]);
      artifactory = await untilTheEnd(guardedArtifactory(servers, GUARDED_PORTS.artifactory[1]));
      storage = await untilTheEnd(guardedStorage(servers));
      traceLogin = newTraceLogin();
      const { header, OTLP_HEADERS } = traceLogin;
      const repositories = { ...artifactory.secrets, ...storage.secrets };
      const own = { VLLM_API_KEY: newKey, MLFLOW_AUTH_ADMIN_PASSWORD: newLogin };
      const others = { WANDB_API_KEY: newToken(), OTLP_HEADERS };
      expect(await rotate({ ...repositories, ...own, ...others })).toEqual({
        "Deployment llama-factory-inference-base": [
          "artifactory-secret",
          "otlp-secret",
          "vllm-api-key",
        ],
        "Deployment llm-front-door": ["llm-front-door-key"],
        [`Job llama-factory-train-${outputs.runId}`]: [
          "gcs-secret",
          "mlflow-auth-secret",
          "wandb-secret",
        ],
        "Deployment mlflow": ["mlflow-auth-secret"],
      });
      expect(artifactory.server.downloads().join()).toMatch(/model\.safetensors 20[06]/);
      const info = `${artifactory.server.url}/models/base/config.json`;
      expect(await status(info, `Basic ${oldReader}`)).toBe(401);
      expect(storage.server.uploads()).not.toEqual([]);
      const sent = collector.requests().length;
      expect(await chatStatuses(newKey)).toEqual([200, 200]);
      expect(await chatStatuses(oldKey)).toEqual([401, 401]);
      const spans = await eventually("spans of the front door and the server", 60, () => {
        const requests = collector.requests().slice(sent);
        const senders = new Set(requests.map((line) => line.replace(/^.* by /, "")));
        return Promise.resolve(senders.size < 2 ? undefined : requests);
      });
      expect(spans.filter((line) => !line.includes(` ${header} by `))).toEqual([]);
      expect(await login(newLogin)).toHaveProperty("experiment");
      await expect(login(oldLogin)).rejects.toThrow(": 401 ");
      await expectNothingTrainedAnew();
    },
    10 * MINUTES,
  );
});

test(
  "a dump by the CronJob brings back what was lost with the database, by the documented commands",
  async () => {
    const before = await tracked();
    const [dump = "", restore = "", drop = ""] = documented(
      "docs/mlflow.md",
      "Dumps, and how to restore one",
    );
    await stack.succeed(dump);
    const emptied = await sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    expect(emptied).toMatchObject({ code: 0 });
    await expect(tracked()).rejects.toThrow("does not exist");
    await stack.succeed(restore);
    await stack.kubectl("rollout", "status", "deployment/mlflow", "--timeout=5m");
    expect(await tracked()).toEqual(before);
    const databases = "SELECT datname FROM pg_database WHERE datname LIKE 'mlflow_before_%'";
    const kept = async (): Promise<string> =>
      (await sql(databases.replaceAll("'", "'\\''"))).stdout.trim();
    const replaced = await kept();
    await stack.succeed(drop.replace("mlflow_before_<time>", replaced));
    expect(await kept()).toBe("");
  },
  10 * MINUTES,
);

test(
  "runs that were deleted long ago are removed for good, with their artifacts, by the documented command; others stay",
  async () => {
    const before = await tracked();
    const login = `admin:${await password()}`;
    const server = { nodeAddress, outputs, login };
    const created = { name: "deleted" };
    const { experiment_id } = await mlflow<{ experiment_id: string }>(
      server,
      "experiments/create",
      created,
    );
    /** A deleted run with an artifact: its id, and the artifact's place on the volume. */
    const deletedRun = async (): Promise<{ run_id: string; artifact: string }> => {
      const { run } = await mlflow<{ run: TrackedRun }>(server, "runs/create", { experiment_id });
      const { run_id } = run.info;
      const path = `artifacts/${experiment_id}/${run_id}/artifacts/notes.txt`;
      const address = `http://${nodeAddress}:${String(NODE_PORTS.mlflow)}/api/2.0/mlflow-artifacts`;
      const headers = { authorization: `Basic ${btoa(login)}` };
      const sent = await fetch(`${address}/${path}`, { method: "PUT", headers, body: "notes" });
      expect(sent.status).toBe(200);
      await mlflow(server, "runs/delete", { run_id });
      return { run_id, artifact: join(folderOf("mlflow"), path) };
    };
    const old = await deletedRun();
    const recent = await deletedRun();
    expect([old, recent].map(({ artifact }) => existsSync(artifact))).toEqual([true, true]);
    const month = 31 * 24 * 60 * 60 * 1000;
    const first = "(SELECT min(deleted_time) FROM runs WHERE deleted_time > 0)";
    const aged = `UPDATE runs SET deleted_time = deleted_time - ${String(month)} WHERE deleted_time = ${first}`;
    expect(await sql(aged)).toMatchObject({ code: 0, stdout: "UPDATE 1\n" });

    const [collect = ""] = documented("docs/mlflow.md", "Deleted runs");
    await stack.succeed(collect);
    const get = ({ run_id }: { run_id: string }): Promise<unknown> =>
      mlflow(server, `runs/get?run_id=${run_id}`);
    await expect(get(old)).rejects.toThrow("RESOURCE_DOES_NOT_EXIST");
    expect(await get(recent)).toMatchObject({ run: { info: { lifecycle_stage: "deleted" } } });
    expect([old, recent].map(({ artifact }) => existsSync(artifact))).toEqual([false, true]);
    expect(await tracked()).toEqual(before);
  },
  8 * MINUTES,
);

describe("what is protected", () => {
  test(
    "keeps destroy from removing anything, and destroy says what to do",
    async () => {
      const before = await workloads();
      const { code, text } = await stack.try("pulumi destroy");
      expect(code).not.toBe(0);
      expect(text).toMatch(
        /PersistentVolumeClaim::[\w-]+" cannot be deleted\s+because it is protected/,
      );
      expect(text).toContain("pulumi state unprotect");
      expect(rolled(before, await workloads())).toEqual({});
    },
    3 * MINUTES,
  );

  test(
    "stays, with its data, when all else is removed",
    async () => {
      await stack.succeed("pulumi destroy --exclude-protected --skip-preview");
      await eventually("an end of all that the stack has made", 120, async () => {
        const left = await stack.list<ApiObject>("pods,deployments,statefulsets,jobs,services");
        return left.length === 0 ? true : undefined;
      });
      expect(await identities()).toEqual(found);
      expectTheData();
      expect(written(outputs.runId)).toHaveLength(STEPS);
      expect(existsSync(join(folderOf("database"), "15"))).toBe(true);
    },
    5 * MINUTES,
  );

  test(
    "stays in the cluster when the stack lets go of it",
    async () => {
      await stack.succeed("pulumi state unprotect --all");
      await stack.succeed("pulumi destroy --skip-preview");
      await stack.succeed(`pulumi stack rm ${NAME}`);
      expect(await identities()).toEqual(found);
      expectTheData();
    },
    3 * MINUTES,
  );
});
