import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Measured } from "./support/load";
import { startLoad, table } from "./support/load";
import type { Outputs } from "./support/models";
import { readNodeAddress, readOutputs } from "./support/models";
import { STACK_FILE, editStackFile, eventually, kubectl, list, pulumi } from "./support/platform";

const MINUTES = 60_000;
const MODELS = ["lumen7", "copy"];
const MOST = 4;

/** The second model: the one that lumen7 was tuned from, with so small a cache that four servers fit beside lumen7's. */
const COPY = {
  name: "copy",
  source: { kind: "volume", path: "base/SmolLM2-135M-Instruct" },
  options: {
    "max-model-len": 1024,
    "enforce-eager": true,
    dtype: "bfloat16",
    "num-gpu-blocks-override": 64,
  },
  replicas: { min: 1, max: MOST },
  autoscaling: { scaleDownSeconds: 15 },
  surge: true,
  resources: { cpu: "100m", memory: "3584Mi", shm: "256Mi" },
  cpuKvCacheGiB: 1,
};

interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly containerID?: string;
      readonly restartCount: number;
    }[];
  };
}

/** What the front door writes of a request. */
interface Access {
  readonly status: number;
  readonly path: string;
  /** `via_upstream` for an answer that is whole, sent a second time or not. */
  readonly details: string;
  readonly model: string | null;
  readonly server: string | null;
}

type Settings = Record<string, unknown>;

let outputs: Outputs;
let address: string;
let scratch: string;
let original: string;
let broughtBack = false;
const phases = new Map<string, Measured>();

const podsOf = (instance: string): Promise<readonly Pod[]> =>
  list<Pod>("pods", "-l", `app.kubernetes.io/instance=${instance}`);

const isReady = ({ status }: Pod): boolean =>
  status.conditions?.some((each) => each.type === "Ready" && each.status === "True") === true;

/** Waits until an instance has so many pods, all of them ready and none that is ending. */
const settled = (instance: string, count: number): Promise<readonly Pod[]> =>
  eventually(`${count} ready pods of ${instance} and no other`, 480, async () => {
    const pods = await podsOf(instance);
    const stays = pods.every((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined);
    return stays && pods.length === count ? pods : undefined;
  });

async function update(change?: (config: Settings) => void): Promise<void> {
  if (change !== undefined) editStackFile(change);
  const { code, text } = await pulumi("up", "--yes", "--skip-preview");
  if (code !== 0) throw new Error(text.slice(-4000));
}

/** Changes the settings of a model. */
const updateModel = (name: string, change: (model: Settings) => void): Promise<void> =>
  update((config) => {
    for (const model of config["llmops:models"] as Settings[]) {
      if (model["name"] === name) change(model);
    }
  });

/** Has the clients ask both models while something is done. */
async function underLoad(phase: string, work: () => Promise<void>): Promise<Measured> {
  const report = join(scratch, "report");
  const load = await startLoad({ address, key: outputs.vllmApiKey, models: MODELS, report });
  let measured: Measured | undefined;
  try {
    await work();
  } finally {
    measured = await load.stop();
    phases.set(phase, measured);
  }
  return measured;
}

/** The loss of each model that was asked. */
const losses = ({ figures }: Measured): Record<string, number> =>
  Object.fromEntries(figures.map(({ model, failures }) => [model, failures]));

/** Whether copy answers by the front door. */
async function answered(): Promise<true | undefined> {
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${outputs.vllmApiKey}`,
    },
    body: JSON.stringify({
      model: "copy",
      messages: [{ role: "user", content: "Hello" }],
      max_tokens: 1,
    }),
  });
  await response.arrayBuffer();
  return response.ok ? true : undefined;
}

const NONE = { copy: 0, lumen7: 0 };

async function bringBack(): Promise<void> {
  writeFileSync(STACK_FILE, original, { mode: 0o600 });
  await update();
  await settled("lumen7", 1);
  broughtBack = true;
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-load-"));
  original = readFileSync(STACK_FILE, "utf8");
  outputs = await readOutputs();
  const { frontDoor } = outputs.endpoints;
  if (frontDoor === undefined) throw new Error("stack local has no front door");
  address = `http://${await readNodeAddress()}:${String(frontDoor.nodePort)}`;
  await update((config) => {
    const [lumen7] = config["llmops:models"] as Settings[];
    config["llmops:models"] = [{ ...lumen7, surge: true }, COPY];
  });
  await Promise.all([settled("copy", 1), settled("llm-front-door", 1)]);
  // The front door asks the cluster's DNS every few seconds where a model is.
  await eventually("an answer of copy by the front door", 60, answered);
}, 10 * MINUTES);

afterAll(async () => {
  process.stderr.write(`\n${table(phases)}\n`);
  try {
    if (!broughtBack) await bringBack();
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}, 15 * MINUTES);

test(
  "a rolling update of a model with surge loses no request",
  async () => {
    const [before] = await podsOf("lumen7");
    const measured = await underLoad("lumen7 is updated, with surge", async () => {
      await updateModel("lumen7", (model) => {
        Object.assign(model["options"] as object, { "max-model-len": 1008 });
      });
      const [after] = await settled("lumen7", 1);
      expect(after?.metadata.uid).not.toBe(before?.metadata.uid);
    });
    expect(measured).toMatchObject({ lost: [] });
    expect(losses(measured)).toEqual(NONE);
  },
  10 * MINUTES,
);

test(
  "growing to four replicas loses no request",
  async () => {
    const measured = await underLoad(`copy grows from 1 to ${MOST}`, async () => {
      await updateModel("copy", (model) => (model["replicas"] = { min: MOST, max: MOST }));
      await settled("copy", MOST);
    });
    expect(measured).toMatchObject({ lost: [] });
    expect(losses(measured)).toEqual(NONE);
  },
  10 * MINUTES,
);

// `kubectl drain` evicts each pod of a node by this call. It is made for one pod, since the platform has one node and
// what a drain moves would have nowhere to go.
test(
  "an eviction, as a drain makes it, loses no request",
  async () => {
    const [victim] = await podsOf("copy");
    const name = victim?.metadata.name ?? "";
    const eviction = {
      apiVersion: "policy/v1",
      kind: "Eviction",
      metadata: { name, namespace: "llmops" },
    };
    const file = join(scratch, "eviction.json");
    writeFileSync(file, JSON.stringify(eviction));
    const measured = await underLoad("a pod of copy is evicted", async () => {
      await kubectl(
        "create",
        "--raw",
        `/api/v1/namespaces/llmops/pods/${name}/eviction`,
        "-f",
        file,
      );
      await kubectl("wait", "--for=delete", `pod/${name}`, "--timeout=3m");
    });
    expect(measured).toMatchObject({ lost: [] });
    expect(losses(measured)).toEqual(NONE);
  },
  10 * MINUTES,
);

test(
  "a rolling update of the front door loses no request",
  async () => {
    const [before] = await podsOf("llm-front-door");
    const measured = await underLoad("the front door is updated", async () => {
      await update((config) => {
        const resources = { cpu: "100m", memory: "320Mi" };
        Object.assign(config["llmops:frontDoor"] as object, { resources });
      });
      const [after] = await settled("llm-front-door", 1);
      expect(after?.metadata.uid).not.toBe(before?.metadata.uid);
    });
    expect(measured).toMatchObject({ lost: [] });
    expect(losses(measured)).toEqual(NONE);
  },
  10 * MINUTES,
);

/** Process of this machine that is the first one of a container. */
function firstProcess(containerId: string): number {
  const found = readdirSync("/proc").find((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const first = /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
      return first && readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(containerId);
    } catch (error) {
      // It has ended in between.
      if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
      throw error;
    }
  });
  if (found === undefined) throw new Error(`no process of container ${containerId}`);
  return Number(found);
}

test(
  "a server killed with -9 loses what it had under way, and the others lose nothing",
  async () => {
    const [victim] = await settled("copy", MOST);
    const id = victim?.status.containerStatuses?.[0]?.containerID?.replace(/^.*:\/\//, "") ?? "";
    const since = new Date().toISOString();
    const measured = await underLoad("a server of copy is killed", async () => {
      process.kill(firstProcess(id), "SIGKILL");
      await eventually("the restart of its container", 60, async () => {
        const pod = (await podsOf("copy")).find(
          ({ metadata }) => metadata.uid === victim?.metadata.uid,
        );
        return pod?.status.containerStatuses?.[0]?.restartCount === 1 ? true : undefined;
      });
      await settled("copy", MOST);
    });
    const log = await kubectl(
      "logs",
      "-l",
      "app.kubernetes.io/instance=llm-front-door",
      "--tail=-1",
      `--since-time=${since}`,
    );
    const accesses = log
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Access);
    const lost = accesses.filter(
      ({ path, status, details }) =>
        path.startsWith("/v1/chat") && (status !== 200 || details !== "via_upstream"),
    );
    const servers = new Set(lost.map(({ server }) => server));
    expect([...servers].filter((each) => each !== `${victim?.status.podIP ?? ""}:8000`)).toEqual(
      [],
    );
    expect(losses(measured)).toEqual({ ...NONE, copy: lost.length });
    expect(lost.length).toBeLessThanOrEqual(2);
  },
  10 * MINUTES,
);

test(
  "shrinking from four replicas to one loses no request",
  async () => {
    const measured = await underLoad(`copy shrinks from ${MOST} to 1`, async () => {
      await updateModel("copy", (model) => (model["replicas"] = { min: 1, max: MOST }));
      await settled("copy", 1);
    });
    expect(measured).toMatchObject({ lost: [] });
    expect(losses(measured)).toEqual(NONE);
  },
  10 * MINUTES,
);

test(
  "the stack is brought back as it was",
  async () => {
    await bringBack();
    expect(Object.keys((await readOutputs()).endpoints.models)).toEqual(["lumen7"]);
    const again = await pulumi("preview", "--expect-no-changes");
    expect(again).toMatchObject({ code: 0 });
  },
  15 * MINUTES,
);
