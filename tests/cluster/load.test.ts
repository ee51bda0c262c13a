import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeName } from "../../local/cluster/options.ts";
import { bareStart } from "./support/bareStart";
import type { Clients, Comparison, Load, Measured } from "./support/load";
import { lossTable, startLoad, timeTable } from "./support/load";
import type { Outputs } from "./support/models";
import { readNodeAddress, readOutputs } from "./support/models";
import { STACK_FILE, eventually, kubectl, pulumi, update } from "./support/platform";
import { firstProcess, podsOf, replicasOf, settled, wantsMore } from "./support/pods";

const MINUTES = 60_000;
const MOST = 4;
const SERVER = "llama-factory-inference-copy";

/** So small a cache, and so few requests at once, that four servers fit beside lumen7's and a queue is soon there. */
const SMALL = { "num-gpu-blocks-override": 64, "max-num-seqs": 2 };

/** Autoscaling that takes no pod away before the test wants it to, however slow the machine is. */
const STAYS = { scaleDownSeconds: 1800 };

/** The second model: the one that lumen7 was tuned from. */
const COPY = {
  name: "copy",
  source: { kind: "volume", path: "base/SmolLM2-135M-Instruct" },
  options: { "max-model-len": 1024, "enforce-eager": true, dtype: "bfloat16", ...SMALL },
  replicas: { min: 1, max: 2 },
  autoscaling: STAYS,
  surge: true,
  resources: { cpu: "100m", memory: "3584Mi", shm: "256Mi" },
  cpuKvCacheGiB: 1,
};

/** What an autoscaler by CPU holds beside: a core, in percent of the CPU that a server asks for. */
const BY_CPU = { scaleDownSeconds: 1, metric: "cpu", target: 1000 };
const BY_CPU_NAME = "llama-inference-hpa-lumen7";

/** Longest time, in seconds, that an autoscaler is given to see a surge. */
const PATIENCE = 90;

/** Four clients, which ask both models every four seconds. */
const STEADY: Clients = { models: ["lumen7", "copy"], users: 4, pace: 4 };
/** So many requests at once that an autoscaler by the queue wants this many servers; each answers two and lets five wait. */
const surgeFor = (model: string, servers: number): Clients => ({
  models: [model],
  users: 7 * servers,
  pace: 0,
});

/** What the front door writes of a request. */
interface Access {
  readonly status: number;
  readonly path: string;
  /** `via_upstream` for an answer that is whole, sent a second time or not. */
  readonly details: string;
  readonly server: string | null;
}

type Settings = Record<string, unknown>;

let outputs: Outputs;
let address: string;
let scratch: string;
let original: string;
let lumen7: Settings;
let broughtBack = false;
const phases = new Map<string, Measured>();
const times: Comparison[] = [];

/** Puts a model's settings in the place of those that it has. */
const updateModel = (name: string, change: (model: Settings) => Settings): Promise<void> =>
  update((config) => {
    config["llmops:models"] = (config["llmops:models"] as Settings[]).map((model) =>
      model["name"] === name ? change(model) : model,
    );
  });

const start = (clients: Clients): Promise<Load> => {
  const report = join(scratch, `report-${String(clients.users)}`);
  return startLoad({ address, key: outputs.vllmApiKey, report, ...clients });
};

/** Has clients ask the models while something is done. */
async function underLoad(
  phase: string,
  work: () => Promise<void>,
  clients = STEADY,
): Promise<Measured> {
  const load = await start(clients);
  let measured: Measured | undefined;
  try {
    await work();
  } finally {
    measured = await load.stop();
    phases.set(phase, measured);
  }
  return measured;
}

/** Expects that every model was asked and that no request was lost. */
function expectNoLoss({ figures, lost }: Measured, { models } = STEADY): void {
  expect(lost).toEqual([]);
  const losses = Object.fromEntries(figures.map(({ model, failures }) => [model, failures]));
  expect(losses).toEqual(Object.fromEntries(models.map((model) => [model, 0])));
}

const uidOf = async (instance: string): Promise<string | undefined> =>
  (await podsOf(instance))[0]?.metadata.uid;

const secondsSince = (moment: number): number => (performance.now() - moment) / 1000;

/**
 * Has many clients ask at once until something is seen, and expects that no request of theirs is lost.
 *
 * @returns the seconds from the moment when all clients were there; undefined where it was not seen in {@link PATIENCE}.
 */
async function surge(
  clients: Clients,
  what: string,
  seen: () => Promise<boolean>,
): Promise<number | undefined> {
  let seconds: number | undefined;
  const work = async (): Promise<void> => {
    const since = performance.now();
    await eventually(what, 2 * PATIENCE, async () => {
      const passed = secondsSince(since);
      if (await seen()) seconds = passed;
      return seconds !== undefined || passed > PATIENCE || undefined;
    });
  };
  expectNoLoss(await underLoad(`many ask at once, until ${what}`, work, clients), clients);
  return seconds;
}

/** Has a surge of requests make copy grow, which its autoscaler does by the queue. */
async function grow(to: number): Promise<{ readonly reaction: number; readonly ready: number }> {
  let asked = NaN;
  const reaction = await surge(
    surgeFor("copy", to),
    `the autoscaler asks for ${to} pods`,
    async () => {
      asked = performance.now();
      return (await replicasOf(SERVER)) === to;
    },
  );
  if (reaction === undefined) throw new Error(`copy was not told to have ${to} pods`);
  await settled("copy", to);
  return { reaction, ready: secondsSince(asked) };
}

async function bringBack(): Promise<void> {
  writeFileSync(STACK_FILE, original, { mode: 0o600 });
  await update();
  await Promise.all([settled("lumen7", 1), settled("llm-front-door", 1)]);
  broughtBack = true;
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-load-"));
  original = readFileSync(STACK_FILE, "utf8");
  outputs = await readOutputs();
  const { frontDoor } = outputs.endpoints;
  if (frontDoor === undefined) throw new Error("stack local has no front door");
  address = `http://${await readNodeAddress()}:${String(frontDoor.nodePort)}`;
}, 2 * MINUTES);

afterAll(async () => {
  process.stderr.write(`\n${lossTable(phases)}\n${timeTable(times)}\n`);
  try {
    if (!broughtBack) await bringBack();
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}, 15 * MINUTES);

test(
  "a model that an update has added answers by the front door when the update has ended",
  async () => {
    await update((config) => {
      [lumen7] = config["llmops:models"] as [Settings];
      const options = { ...(lumen7["options"] as object), ...SMALL };
      const resources = { ...(lumen7["resources"] as object), ...COPY.resources };
      const replicas = { min: 1, max: 1 };
      const servers = { options, resources, replicas, autoscaling: BY_CPU, surge: true };
      config["llmops:models"] = [{ ...lumen7, ...servers }, COPY];
    });
    const response = await fetch(`${address}/v1/completions`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${outputs.vllmApiKey}`,
      },
      body: JSON.stringify({ model: "copy", prompt: "Hello", max_tokens: 1 }),
    });
    expect({ status: response.status, body: await response.text() }).toMatchObject({ status: 200 });
  },
  10 * MINUTES,
);

test(
  "a queue makes a model grow, which loses no request",
  async () => {
    let bare = NaN;
    expectNoLoss(
      await underLoad("a server of copy is started bare", async () => {
        await settled("lumen7", 1);
        bare = await bareStart(SERVER, scratch);
      }),
    );
    let grown = { reaction: NaN, ready: NaN };
    const growth = async (): Promise<void> => {
      grown = await grow(2);
    };
    expectNoLoss(await underLoad("copy grows from 1 to 2", growth));
    times.push({
      measure: "scale-up asked for to second Ready replica",
      ours: grown.ready,
      against: "the same server, started bare",
      theirs: bare,
      target: 1.3,
    });
    // An autoscaler at its largest size says what it would do, and starts nothing.
    // Where it does so before the surge, its answer cannot be told from what was before.
    const already = await wantsMore(BY_CPU_NAME);
    const byCpu = await surge(surgeFor("lumen7", 2), "an autoscaler by CPU asks for more", () =>
      wantsMore(BY_CPU_NAME),
    );
    times.push({
      measure: "many requests at once to the autoscaler's answer, by the queue",
      ours: grown.reaction,
      against: "by CPU, one core",
      theirs: already ? undefined : byCpu,
    });
  },
  10 * MINUTES,
);

test(
  "a rolling update of a model with surge loses no request",
  async () => {
    const before = await uidOf("lumen7");
    const measured = await underLoad("lumen7 is updated, with surge", async () => {
      await updateModel("lumen7", () => ({ ...lumen7, surge: true }));
      await settled("lumen7", 1);
    });
    expectNoLoss(measured);
    expect(await uidOf("lumen7")).not.toBe(before);
  },
  10 * MINUTES,
);

test(
  `growing to ${MOST} replicas loses no request`,
  async () => {
    const measured = await underLoad(`copy grows from 2 to ${MOST}`, async () => {
      const replicas = { min: 1, max: MOST };
      await updateModel("copy", (model) => ({ ...model, replicas }));
      await grow(MOST);
    });
    expectNoLoss(measured);
  },
  10 * MINUTES,
);

test(
  "a server killed with -9 loses what it had under way, and the others lose nothing",
  async () => {
    const [victim] = await settled("copy", MOST);
    if (victim === undefined) throw new Error("copy has no pod");
    const since = new Date().toISOString();
    const measured = await underLoad("a server of copy is killed with -9", async () => {
      process.kill(firstProcess(victim), "SIGKILL");
      await eventually("the restart of its container", 60, async () => {
        const pod = (await podsOf("copy")).find(
          ({ metadata }) => metadata.uid === victim.metadata.uid,
        );
        return pod?.status.containerStatuses?.[0]?.restartCount === 1 ? true : undefined;
      });
      await settled("copy", MOST);
    });
    const log = await kubectl(
      ...["logs", "-l", "app.kubernetes.io/instance=llm-front-door"],
      ...["--tail=-1", `--since-time=${since}`],
    );
    const lost = log
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Access)
      .filter(({ path }) => path.startsWith("/v1/chat"))
      .filter(({ status, details }) => status !== 200 || details !== "via_upstream");
    const others = lost.filter(({ server }) => server !== `${victim.status.podIP ?? ""}:8000`);
    expect(others).toEqual([]);
    expect(measured.lost).toHaveLength(lost.length);
    expect(measured.figures).toContainEqual(
      expect.objectContaining({ model: "lumen7", failures: 0 }),
    );
    // Two of the clients ask copy.
    expect(lost.length).toBeLessThanOrEqual(2);
  },
  10 * MINUTES,
);

test(
  "a drain loses no request",
  async () => {
    const [victim] = await podsOf("copy");
    const name = victim?.metadata.name ?? "";
    // Only one pod is drained: the platform has one node, and what a drain moves must have somewhere to go.
    await kubectl("label", "pod", name, "llmops.test/drained=true");
    const measured = await underLoad("the node is drained of a pod of copy", async () => {
      const only = ["--pod-selector=llmops.test/drained=true", "--delete-emptydir-data"];
      try {
        await kubectl("drain", nodeName, ...only, "--ignore-daemonsets", "--timeout=3m");
      } finally {
        await kubectl("uncordon", nodeName);
      }
    });
    expectNoLoss(measured);
    expect((await podsOf("copy")).map(({ metadata }) => metadata.name)).not.toContain(name);
  },
  10 * MINUTES,
);

test(
  `shrinking from ${MOST} replicas to one loses no request`,
  async () => {
    const measured = await underLoad(`copy shrinks from ${MOST} to 1`, async () => {
      const autoscaling = { scaleDownSeconds: 5 };
      await updateModel("copy", (model) => ({ ...model, autoscaling }));
      await settled("copy", 1);
    });
    expectNoLoss(measured);
  },
  10 * MINUTES,
);

test(
  "bringing the stack back takes copy away, and loses no request to the other model",
  async () => {
    const clients = { ...STEADY, models: ["lumen7"] };
    const [served, door] = [await uidOf("lumen7"), await uidOf("llm-front-door")];
    expectNoLoss(await underLoad("copy is taken away", bringBack, clients), clients);
    expect(await uidOf("lumen7")).toBe(served);
    expect(await uidOf("llm-front-door")).not.toBe(door);
    expect(Object.keys((await readOutputs()).endpoints.models)).toEqual(["lumen7"]);
    expect(await pulumi("preview", "--expect-no-changes")).toMatchObject({ code: 0 });
  },
  15 * MINUTES,
);
