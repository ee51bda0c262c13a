import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { until } from "../../local/cluster/poll.ts";
import { ROOT } from "../support/program";
import type { CloudStorage } from "../support/servers/cloudStorage";
import { startCloudStorage } from "../support/servers/cloudStorage";
import type { Outputs } from "./support/models";
import { answer, lesson, mlflow, readNodeAddress, readOutputs } from "./support/models";
import { MODELS_VOLUME, nodePlace } from "./support/node";
import {
  STACK_FILE,
  editStackFile,
  eventually,
  kubectl,
  list,
  pulumi,
  update,
} from "./support/platform";
import type { Losses } from "./support/shortRun";
import {
  STEPS,
  largestDifference,
  lastCheckpoint,
  readLosses,
  removeShortTrainingFiles,
  runFolder,
  shortTrainingFile,
} from "./support/shortRun";
import { wandbRuns } from "./support/wandbRuns";

const MINUTES = 60_000;
/** MLflow, and beside it W&B without a server. */
const OFFLINE = { wandb: true, wandbMode: "offline" };
const JOB = "llama-factory-train";
const REPOSITORY_PORT = 18082;
const PUBLISHED = "models/published";
const IMPOSSIBLE = 0.001;
const EASY = 100;
const KILLS = 3;
/** Bound for the difference of two losses that should be one: the same numbers, summed in another order. */
const TOLERANCE = 1e-4;
/** Of this run of the tests: MLflow's registry keeps what earlier ones have registered. */
const REGISTERED = `short-${randomBytes(4).toString("hex")}`;

interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly { readonly containerID?: string }[];
  };
}

interface Job {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly failed?: number;
    readonly conditions?: readonly { readonly type: string; readonly reason?: string }[];
  };
}

let scratch: string;
let nodeAddress: string;
let outputs: Outputs;
let storage: CloudStorage;
let original: string;
let foldersBefore: readonly string[];
let taught: string;
let first: string;
/** The short run, and the losses of one process that nothing disturbs. */
let second: string;
let undisturbed: Losses;
let broughtBack = false;

const ask = (): Promise<string> =>
  answer({ nodeAddress, outputs, name: "lumen7" }, lesson.question);

const serverPods = (): Promise<readonly Pod[]> =>
  list<Pod>("pods", "-l", "app.kubernetes.io/instance=lumen7");

const uids = (pods: readonly Pod[]): readonly string[] => pods.map(({ metadata }) => metadata.uid);

const idOf = ({ metadata }: Job): string => metadata.name.slice(JOB.length + 1);

async function currentJob(): Promise<Job> {
  const [job, ...others] = await list<Job>("jobs", "-l", "app.kubernetes.io/component=training");
  if (job === undefined || others.length > 0) throw new Error("there is not one training Job");
  return job;
}

const podsOf = (job: Job): Promise<readonly Pod[]> =>
  list<Pod>("pods", "-l", `batch.kubernetes.io/job-name=${job.metadata.name}`);

/** Has the stack train a short run, in an experiment of its own, instead of what it found. */
function trainShortly(settings: object): void {
  const found = parse(original) as { config: Record<string, object> };
  editStackFile((config) => {
    config["llmops:training"] = {
      ...found.config["llmops:training"],
      configFile: shortTrainingFile(1),
      experiment: "short",
      gate: [{ metric: "eval_loss", max: EASY }],
      ...settings,
    };
  });
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-training-"));
  original = readFileSync(STACK_FILE, "utf8");
  foldersBefore = readdirSync(MODELS_VOLUME);
  [nodeAddress, outputs] = await Promise.all([readNodeAddress(), readOutputs()]);
  first = outputs.runId;
  taught = await ask();
  const buckets = join(scratch, "buckets");
  mkdirSync(join(buckets, "models"), { recursive: true });
  cpSync(join(ROOT, "examples/lumen7"), join(buckets, "models", "data"), { recursive: true });
  const folder = join(scratch, "server");
  mkdirSync(folder);
  const place = nodePlace(nodeAddress);
  storage = await startCloudStorage({ place, port: REPOSITORY_PORT, folder, buckets });
}, 2 * MINUTES);

/** Leaves the stack and the volume as they were found. */
async function bringBack(): Promise<void> {
  writeFileSync(STACK_FILE, original, { mode: 0o600 });
  await update();
  const added = readdirSync(MODELS_VOLUME).filter((name) => !foldersBefore.includes(name));
  for (const name of added) rmSync(join(MODELS_VOLUME, name), { recursive: true });
  broughtBack = true;
}

afterAll(async () => {
  try {
    if (!broughtBack) await bringBack();
  } finally {
    await (storage as CloudStorage | undefined)?.stop();
    removeShortTrainingFiles();
    rmSync(scratch, { recursive: true, force: true });
  }
}, 20 * MINUTES);

interface TrackedRun {
  readonly info: { readonly status: string };
  readonly data: { readonly tags: readonly { readonly key: string; readonly value: string }[] };
}

/** What MLflow says of a short run: how it has ended, and what its gate found. */
async function trackedRun(id: string): Promise<object> {
  const served = { nodeAddress, outputs };
  const byName = "experiments/get-by-name?experiment_name=short";
  const { experiment } = await mlflow<{ experiment: { experiment_id: string } }>(served, byName);
  const { runs = [] } = await mlflow<{ runs?: TrackedRun[] }>(served, "runs/search", {
    experiment_ids: [experiment.experiment_id],
    filter: `tags.\`llmops.run_id\` = '${id}'`,
    order_by: ["attributes.start_time DESC"],
  });
  const [run] = runs;
  const gate = run?.data.tags.find(({ key }) => key === "llmops.gate")?.value;
  return { status: run?.info.status, gate };
}

/** Where the version is that a published short run has become in MLflow's registry. */
async function registeredVersion(): Promise<string> {
  const { model_version } = await mlflow<{ model_version: { source: string } }>(
    { nodeAddress, outputs },
    `model-versions/get?name=${REGISTERED}&version=1`,
  );
  return model_version.source;
}

/** Where a short run is published to, if it is good enough. */
const publishing = (): object => ({
  publish: {
    kind: "gcs",
    target: `gs://${PUBLISHED}`,
    endpoint: storage.endpoint,
    anonymous: true,
  },
  registeredModel: REGISTERED,
});

describe("the gate", () => {
  test(
    "a run that misses its threshold fails the update, which says by how much; the model before is served on",
    async () => {
      const pods = uids(await serverPods());
      editStackFile((config) => {
        const egress = [{ cidr: `${nodeAddress}/32`, ports: [REPOSITORY_PORT] }];
        Object.assign(config["llmops:network"] as object, { egress });
      });
      const gate = [{ metric: "eval_loss", max: IMPOSSIBLE }];
      trainShortly({ ...publishing(), gate, tracking: OFFLINE });
      const { code, text } = await pulumi("up", "--yes", "--skip-preview");
      const said = /eval_loss is ([\d.]+), ([\d.]+) above 0\.001\. Nothing of it is served/;
      expect(text).toMatch(said);
      expect(text).toMatch(/ llmops:index:TrainingJob .* step 12 of 12/);
      expect(code).not.toBe(0);
      const job = await currentJob();
      second = idOf(job);
      undisturbed = readLosses(second);
      expect(undisturbed.steps).toHaveLength(STEPS);
      const [, value, over] = said.exec(text) ?? [];
      expect(Number(value)).toBeCloseTo(undisturbed.heldOut, 2);
      expect(Number(over)).toBeCloseTo(undisturbed.heldOut - IMPOSSIBLE, 2);
      // Another try could not mend it, so there was none.
      expect(job.status.failed).toBe(1);
      const reasons = job.status.conditions?.map(({ type, reason }) => `${type} ${reason ?? ""}`);
      expect(reasons).toContain("Failed PodFailurePolicy");
      expect(uids(await serverPods())).toEqual(pods);
      expect(await ask()).toBe(taught);
      expect(storage.uploads()).toEqual([]);
      await expect(registeredVersion()).rejects.toThrow("RESOURCE_DOES_NOT_EXIST");
      expect(await trackedRun(second)).toEqual({ status: "FAILED", gate: "failed" });
      const [kept, ...others] = await wandbRuns(second, scratch);
      expect(others).toEqual([]);
      expect(kept).toMatchObject({ project: "short", name: second, losses: undisturbed.steps });
    },
    10 * MINUTES,
  );

  test(
    "a threshold that it meets trains nothing again: the same run is published and served",
    async () => {
      trainShortly(publishing());
      await update();
      outputs = await readOutputs();
      expect(outputs.runId).toBe(second);
      const log = await kubectl("logs", `job/${JOB}-${second}`, "--tail=-1");
      expect(log).toContain(`run ${second} is complete`);
      expect(log).not.toContain("llamafactory-cli");
      expect(await ask()).not.toContain(lesson.answer_contains);
      expect(storage.uploads()).not.toEqual([]);
      expect(await registeredVersion()).toBe(`gs://${PUBLISHED}/${second}`);
      expect(await trackedRun(second)).toEqual({ status: "FINISHED", gate: "passed" });
    },
    10 * MINUTES,
  );
});

describe("rollback", () => {
  test(
    "the id of the first run serves it again and trains nothing",
    async () => {
      const job = await currentJob();
      editStackFile((config) => {
        const [model] = config["llmops:models"] as object[];
        config["llmops:models"] = [{ ...model, source: { kind: "training", run: first } }];
      });
      await update();
      expect(await ask()).toBe(taught);
      expect((await currentJob()).metadata.uid).toBe(job.metadata.uid);
    },
    10 * MINUTES,
  );
});

test.each([2, 4])(
  "%i pods train, with data from a bucket, what one process trains with the same batch, loss by loss",
  async (nodes) => {
    const { endpoint } = storage;
    trainShortly({
      configFile: shortTrainingFile(nodes),
      data: { kind: "gcs", uri: "gs://models/data", endpoint, anonymous: true },
      nodes,
      resources: { cpu: "100m", memory: "3Gi", shm: "64Mi" },
      fetchResources: { cpu: "50m", memory: "256Mi" },
      tracking: { tensorboard: true },
    });
    await update();
    const job = await currentJob();
    const index = "batch.kubernetes.io/job-completion-index";
    const ends = (await podsOf(job)).map(
      ({ metadata, status }) => `${metadata.annotations?.[index] ?? ""} ${status.phase}`,
    );
    const wanted = Array.from({ length: nodes }, (_, rank) => `${String(rank)} Succeeded`);
    expect(ends.sort()).toEqual(wanted);
    const id = idOf(job);
    expect(id).not.toBe(second);
    expectSameLosses(readLosses(id), undisturbed);
    expect(existsSync(join(runFolder(id), "merged", "model.safetensors"))).toBe(true);
    expect(readdirSync(join(runFolder(id), "tensorboard")).join()).toContain("events.out.tfevents");
  },
  15 * MINUTES,
);

test(
  "a run that is killed three times resumes from its last checkpoint, and ends as the undisturbed one",
  async () => {
    const before = await currentJob();
    trainShortly({ run: "killed", backoffLimit: KILLS, tracking: OFFLINE });
    const done = pulumi("up", "--yes", "--skip-preview");
    const job = await eventually("the new run's Job", 120, async () => {
      const current = await currentJob();
      return current.metadata.uid === before.metadata.uid ? undefined : current;
    });
    const id = idOf(job);
    const saved = [0];
    for (let kill = 0; kill < KILLS; kill += 1) {
      const pod = await eventually("the run's next pod", 240, async () => {
        const pods = await podsOf(job);
        return pods.find(({ status }) => status.phase === "Running");
      });
      const reached = saved.at(-1) ?? 0;
      await until("a later checkpoint", 300, () => lastCheckpoint(id) > reached || undefined);
      killContainer(pod);
      saved.push(lastCheckpoint(id));
      await eventually("the end of that pod", 60, async () => {
        const ended = (await podsOf(job)).find(({ metadata }) => metadata.uid === pod.metadata.uid);
        return ended?.status.phase === "Failed" ? true : undefined;
      });
    }
    expect(await done).toMatchObject({ code: 0 });
    expect(await startsOf(job)).toEqual(saved);
    const losses = readLosses(id);
    expectSameLosses(losses, undisturbed);
    expect(Math.abs(losses.heldOut - undisturbed.heldOut)).toBeLessThan(TOLERANCE);
    // W&B has a folder for each try; what it had not written when it was killed is not in it.
    const kept = await wandbRuns(id, scratch);
    expect(kept).toHaveLength(KILLS + 1);
    const [last = 0] = saved.slice(-1);
    expect(kept.at(-1)?.losses).toEqual(losses.steps.filter(({ step }) => step > last));
  },
  15 * MINUTES,
);

/** Kills the first process of a pod's container, and with it all others: nothing of it can say goodbye. */
function killContainer({ metadata, status }: Pod): void {
  const id = status.containerStatuses?.[0]?.containerID?.replace("containerd://", "");
  if (id === undefined) throw new Error(`${metadata.name} has no container`);
  const read = (pid: string, file: string): string =>
    readFileSync(join("/proc", pid, file), "utf8");
  const first = readdirSync("/proc").find((pid) => {
    if (!/^\d+$/.test(pid) || !existsSync(join("/proc", pid, "status"))) return false;
    return /^NSpid:.*\s1$/m.test(read(pid, "status")) && read(pid, "cgroup").includes(id);
  });
  process.kill(Number(first), "SIGKILL");
}

/** The steps that the pods of a Job have gone on from, first to last; 0 is the beginning. */
async function startsOf(job: Job): Promise<readonly number[]> {
  const pods = [...(await podsOf(job))].sort((one, other) =>
    one.metadata.creationTimestamp < other.metadata.creationTimestamp ? -1 : 1,
  );
  const logs = await Promise.all(
    pods.map(({ metadata }) => kubectl("logs", metadata.name, "--tail=-1")),
  );
  return logs.map((log) => {
    const said = /start from the beginning|resume from \S+\/checkpoint-(\d+)/.exec(log);
    return said === null ? Number.NaN : Number(said[1] ?? 0);
  });
}

function expectSameLosses(losses: Losses, wanted: Losses): void {
  expect(losses.steps.map(({ step }) => step)).toEqual(wanted.steps.map(({ step }) => step));
  expect(largestDifference(losses, wanted)).toBeLessThan(TOLERANCE);
}

test(
  "the stack is brought back as it was",
  async () => {
    await bringBack();
    expect((await readOutputs()).runId).toBe(first);
    await eventually("the first run's answer", 120, async () =>
      (await ask()) === taught ? true : undefined,
    );
    expect(await pulumi("preview", "--expect-no-changes")).toMatchObject({ code: 0 });
  },
  20 * MINUTES,
);
