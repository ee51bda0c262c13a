import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "../../local/cluster/poll.ts";
import type { RoutedModel } from "../../workloads/envoyRoutes";
import { FRONT_DOOR_COUNTERS } from "../../workloads/keda";
import { freePort } from "../support/ports";
import { ROOT } from "../support/program";
import type { RunningFrontDoor } from "../support/servers/frontDoor";
import { startFrontDoor, writeConfig } from "../support/servers/frontDoor";
import { ModelStub } from "../support/servers/modelStub";
import { loopback } from "../support/servers/server";

const run = promisify(execFile);
const SECONDS = 1000;
const KEY = "sk-planted-5b1f";
const MAX_MIB = 2;
const CANARIES = ["fresh", "absent", "starting", "broken"];
const MODELS = ["beta", "late", "added", "moved", "both", "gone", "asleep", "stable"];
const NAMES = ["alpha", "acme/alpha-lora", ...MODELS, ...CANARIES];
/** A name that no DNS knows. */
const NOWHERE = "gone.invalid";
const UNKNOWN = `This model does not exist. Models: ${NAMES.join(", ")}`;

let scratch: string;
let door: RunningFrontDoor;
let alpha: ModelStub;
let beta: ModelStub;
let latePort: number;
let stable: ModelStub;
let fresh: ModelStub;
const running: { stop(): Promise<void> }[] = [];

function untilTheEnd<T extends { stop(): Promise<void> }>(server: T): T {
  running.push(server);
  return server;
}

async function startDoor(): Promise<RunningFrontDoor> {
  return untilTheEnd(await startFrontDoor(await options()));
}

const ports = { alpha: 0, beta: 0, stable: 0, fresh: 0, nobody: 0 };

async function options() {
  const at = (name: string, port: number, change: Partial<RoutedModel> = {}): RoutedModel => ({
    ...{ name, served: [name], pods: loopback.address, service: NOWHERE, port },
    ...change,
  });
  return {
    folder: mkdtempSync(join(scratch, "door-")),
    key: KEY,
    maxBodyMiB: MAX_MIB,
    models: [
      at("alpha", ports.alpha, { served: ["alpha", "acme/alpha-lora"] }),
      at("beta", ports.beta, { pods: "localhost" }),
      at("late", latePort),
      at("added", ports.beta, { pods: NOWHERE, service: "localhost" }),
      // Nothing listens on 127.0.0.2.
      at("moved", ports.beta, { pods: "127.0.0.2", service: loopback.address }),
      at("both", ports.alpha, { service: "127.0.0.2" }),
      at("gone", await freePort(), { pods: NOWHERE }),
      // Its Service has an address, and nobody behind it.
      at("asleep", await freePort(), { pods: NOWHERE, service: loopback.address }),
      at("stable", ports.stable),
      at("fresh", ports.fresh, { canary: { of: "stable", weight: 30 } }),
      at("absent", ports.nobody, { pods: NOWHERE, canary: { of: "stable", weight: 10 } }),
      at("starting", ports.nobody, {
        pods: NOWHERE,
        service: loopback.address,
        canary: { of: "stable", weight: 10 },
      }),
      at("broken", ports.nobody, { service: "127.0.0.2", canary: { of: "stable", weight: 5 } }),
    ],
  };
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-front-door-"));
  ports.alpha = await freePort();
  ports.beta = await freePort();
  ports.stable = await freePort();
  ports.fresh = await freePort();
  ports.nobody = await freePort();
  latePort = await freePort();
  alpha = untilTheEnd(await ModelStub.start("I am alpha", ports.alpha));
  beta = untilTheEnd(await ModelStub.start("I am beta", ports.beta));
  stable = untilTheEnd(await ModelStub.start("I am stable", ports.stable));
  fresh = untilTheEnd(await ModelStub.start("I am fresh", ports.fresh));
  door = await startDoor();
}, 60 * SECONDS);

afterAll(async () => {
  await Promise.all(running.map((server) => server.stop()));
  rmSync(scratch, { recursive: true, force: true });
});

interface Change {
  readonly at?: string;
  readonly path?: string;
  readonly method?: string;
  readonly type?: string | null;
  readonly authorization?: string | null;
}

/** A request as curl would send it, changed in one way. */
function ask(body: unknown, change: Change = {}): Promise<Response> {
  const { at = door.url, path = "/chat/completions", method = "POST" } = change;
  const { type = "application/json", authorization = `Bearer ${KEY}` } = change;
  return fetch(`${at}${path}`, {
    method,
    headers: {
      ...(type === null ? {} : { "content-type": type }),
      ...(authorization === null ? {} : { authorization }),
    },
    ...(method === "POST" ? { body: typeof body === "string" ? body : JSON.stringify(body) } : {}),
  });
}

const chat = (model: string, more: object = {}) => ({ model, messages: [], ...more });

async function contentOf(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  const body = (await response.json()) as { choices: { message: { content: string } }[] };
  return body.choices[0]?.message.content ?? "";
}

/** Status and error of an answer, in the form of the OpenAI API. */
async function errorOf(response: Response): Promise<unknown> {
  expect(response.headers.get("content-type")).toBe("application/json");
  const { error } = (await response.json()) as { error: object };
  expect(Object.keys(error).sort()).toEqual(["code", "message", "param", "type"]);
  return { status: response.status, ...error };
}

const fault = (status: number, code: string, message: string, type = "invalid_request_error") => ({
  status,
  code,
  message,
  type,
  param: null,
});

test("Envoy finds nothing wrong with the configuration", async () => {
  const config = writeConfig(await options(), { http: 1, metrics: 2, admin: 3 });
  const { stdout, stderr } = await run("envoy", ["--mode", "validate", "-c", config]);
  expect(stdout + stderr).toContain(`configuration '${config}' OK`);
  expect(stdout + stderr).not.toMatch(/deprecated|work-in-progress/);
});

describe("requests", () => {
  test.each([
    ["alpha", "I am alpha"],
    ["acme/alpha-lora", "I am alpha"],
    ["beta", "I am beta"],
  ])("for %s reach its server, with path and key", async (model, content) => {
    expect(await contentOf(await ask(chat(model)))).toBe(content);
    const server = content === "I am beta" ? beta : alpha;
    const path = "/v1/chat/completions";
    expect(server.arrived.at(-1)).toEqual({ path, model, authorization: `Bearer ${KEY}` });
  });

  test("in another character set are JSON too", async () => {
    const response = await ask(chat("beta"), { type: "application/json; charset=utf-8" });
    expect(response.status).toBe(200);
  });

  test("list the models, and describe each", async () => {
    const object = (id: string) => ({ id, object: "model", created: 0, owned_by: "llmops" });
    const list = await ask("", { method: "GET", path: "/models" });
    expect(await list.json()).toEqual({ object: "list", data: NAMES.map(object) });
    for (const path of ["/models/acme/alpha-lora", "/models/acme%2Falpha-lora"]) {
      const one = await ask("", { method: "GET", path });
      expect(await one.json()).toEqual(object("acme/alpha-lora"));
    }
  });

  test("stream: each chunk arrives before the next one is written", async () => {
    const response = await ask(chat("alpha", { stream: true }));
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (const word of ["one", "two", "three"]) {
      alpha.next(word);
      expect((await reader?.read())?.value).toContain(`"content":"${word}"`);
    }
    alpha.finish();
    expect((await reader?.read())?.value).toBe("data: [DONE]\n\n");
    expect((await reader?.read())?.done).toBe(true);
  });
});

describe("canaries", () => {
  test(
    "get their part; what one without pods, or with none that answers, would get is not lost",
    async () => {
      const total = 400;
      const got = { "I am stable": 0, "I am fresh": 0 };
      const arrived = fresh.arrived.length;
      for (let sent = 0; sent < total; sent += 50) {
        const answers = Array.from({ length: 50 }, async () => contentOf(await ask(chat("stable"))));
        for (const content of await Promise.all(answers)) got[content as keyof typeof got] += 1;
      }
      expect(got["I am stable"] + got["I am fresh"]).toBe(total);
      // 30 of 100. Envoy draws for each request; six deviations are missed once in a billion runs.
      const deviation = Math.sqrt(total * 0.3 * 0.7);
      expect(Math.abs(got["I am fresh"] - total * 0.3)).toBeLessThan(6 * deviation);
      expect(fresh.arrived.length - arrived).toBe(got["I am fresh"]);
      expect(fresh.arrived.at(-1)?.model).toBe("stable");
    },
    120 * SECONDS,
  );

  test("answer to their own names too, and nobody stands in for them then", async () => {
    const before = stable.arrived.length;
    expect(await contentOf(await ask(chat("fresh")))).toBe("I am fresh");
    expect((await ask(chat("absent"))).status).toBe(503);
    expect(stable.arrived).toHaveLength(before);
  });

  test("are counted as models of their own", async () => {
    const metrics = await (await fetch(`${door.metrics}/metrics`)).text();
    for (const [model, server] of [
      ["stable", stable],
      ["fresh", fresh],
    ] as const) {
      const line = `upstream_rq_total{envoy_cluster_name="model-${model}"} `;
      expect(metrics).toContain(`${line}${String(server.arrived.length)}\n`);
    }
    const answers = /upstream_rq_xx\{envoy_response_code_class="2",envoy_cluster_name="canary-fresh"\} [1-9]/;
    expect(metrics).toMatch(answers);
  });
});

describe("bad requests", () => {
  const noModel = fault(
    400,
    "missing_model",
    "The request body must be JSON (content-type: application/json) with a model",
  );
  const noKey = fault(
    401,
    "invalid_api_key",
    "Missing or wrong API key: send the header Authorization: Bearer <key>",
  );
  const large = fault(413, "request_too_large", "The request body is larger than 2 MiB");
  const noRoute = fault(
    404,
    "unknown_url",
    "Unknown request: POST to /v1/... with a model, or GET /v1/models",
  );

  test.each<[string, unknown, Change, unknown]>([
    ["an unknown model", chat("nobody"), {}, fault(404, "model_not_found", UNKNOWN)],
    ["no model", { messages: [] }, {}, noModel],
    ["a model that is no text", { model: {} }, {}, noModel],
    ["broken JSON", '{"model": "alpha"', {}, noModel],
    ["another type of content", chat("alpha"), { type: "text/plain" }, noModel],
    ["no key", chat("alpha"), { authorization: null }, noKey],
    ["a wrong key", chat("alpha"), { authorization: "Bearer wrong" }, noKey],
    ["a longer key", chat("alpha"), { authorization: `Bearer ${KEY}0` }, noKey],
    ["the list without a key", "", { method: "GET", path: "/models", authorization: null }, noKey],
    ["a body over the limit", chat("alpha", { x: "x".repeat(2 * 2 ** 20) }), {}, large],
    ["another path", "", { method: "GET", path: "/../metrics" }, noRoute],
    ["another method", "", { method: "DELETE", path: "/models/alpha" }, noRoute],
  ])("%s", async (_, body, change, expected) => {
    const before = alpha.arrived.length + beta.arrived.length;
    expect(await errorOf(await ask(body, change))).toEqual(expected);
    expect(alpha.arrived.length + beta.arrived.length).toBe(before);
  });

  test("a body just below the limit is served", async () => {
    const response = await ask(chat("alpha", { x: "x".repeat(2 * 2 ** 20 - 100) }));
    expect(response.status).toBe(200);
  });

  test("a body of numbers takes no more memory than the settings ask for", async () => {
    const numbers = Array.from({ length: 2 ** 20 - 100 }, () => 0);
    expect((await ask(chat("nobody", { x: numbers }))).status).toBe(404);
    expect(door.peakMiB()).toBeLessThan(128 + 100 * MAX_MIB);
  });

  test("a model without servers: 503, and when to try again", async () => {
    const response = await ask(chat("gone"));
    expect(response.headers.get("retry-after")).toBe("2");
    const message = "No server of this model can be reached; try again later";
    expect(await errorOf(response)).toEqual(
      fault(503, "model_unavailable", message, "server_error"),
    );
  });
});

test("OpenAI's client, unmodified, gets answers and the exceptions that it documents", async () => {
  const script = join(ROOT, "images", "front-door", "tests", "openai_client.py");
  const args = [script, door.url, KEY, "alpha", "acme/alpha-lora", String(MAX_MIB)];
  const { stdout } = await run("python", args);
  const raised = (name: string, status: number, code: string, message: unknown) => ({
    raised: name,
    status,
    code,
    message,
  });
  const unknown = raised("NotFoundError", 404, "model_not_found", expect.stringContaining(UNKNOWN));
  const wrongKey = raised("AuthenticationError", 401, "invalid_api_key", expect.any(String));
  expect(JSON.parse(stdout)).toEqual({
    list: NAMES,
    retrieve: "acme/alpha-lora",
    model: "I am alpha",
    other: "I am alpha",
    unknown,
    "retrieve unknown": unknown,
    "wrong key": wrongKey,
    "list with wrong key": wrongKey,
    // The front door leaves that to the server; tests/cluster asks one.
    "too long": "I am alpha",
    "too large": raised("APIStatusError", 413, "request_too_large", expect.any(String)),
  });
}, 60 * SECONDS);

describe("health and metrics", () => {
  const status = async (path: string, method = "GET"): Promise<number> =>
    (await fetch(`${door.metrics}${path}`, { method })).status;

  test("are open to probes, and nothing else of the admin interface is", async () => {
    for (const path of ["/ready", "/live", "/metrics"]) expect(await status(path)).toBe(200);
    for (const path of ["/config_dump", "/server_info", "/stats", "/"]) {
      expect(await status(path)).toBe(404);
    }
    expect(await status("/quitquitquit", "POST")).toBe(404);
    expect(await status("/ready", "POST")).toBe(404);
  });

  test("count what a model at zero is woken by: requests with and without a pod to take them", async () => {
    const counters = async (model: string) => {
      const text = await (await fetch(`${door.metrics}/metrics`)).text();
      return Object.fromEntries(
        Object.entries(FRONT_DOOR_COUNTERS).map(([what, name]) => {
          const line = `^${name}\\{envoy_cluster_name="model-${model}"\\} (\\d+)$`;
          return [what, Number(new RegExp(line, "m").exec(text)?.[1])];
        }),
      );
    };
    const fresh = await startDoor();
    const idle = await (await fetch(`${fresh.metrics}/metrics`)).text();
    for (const name of Object.values(FRONT_DOOR_COUNTERS)) {
      // A series that only began with the first request would never have grown.
      expect(idle).toContain(`\n${name}{envoy_cluster_name="model-gone"} 0\n`);
    }
    const before = { gone: await counters("gone"), asleep: await counters("asleep") };
    const beta = await counters("beta");
    for (const model of ["gone", "asleep"]) expect((await ask(chat(model))).status).toBe(503);
    expect((await ask(chat("beta"))).status).toBe(200);
    const lost = { ...before.gone, lost: Number(before.gone["lost"]) + 1 };
    expect(await counters("gone")).toEqual(lost);
    const asleep = await counters("asleep");
    expect(asleep["tried"]).toBeGreaterThan(Number(before.asleep["tried"]));
    expect(await counters("beta")).toEqual({ ...beta, tried: Number(beta["tried"]) + 1 });
  }, 60 * SECONDS);

  test("count requests by model", async () => {
    await ask(chat("beta"));
    const metrics = await (await fetch(`${door.metrics}/metrics`)).text();
    expect(metrics).toMatch(
      /envoy_cluster_upstream_rq_xx\{envoy_response_code_class="2",envoy_cluster_name="model-beta"\} [1-9]/,
    );
  });
});

test("the log names model and status, and holds neither key nor content", async () => {
  const secret = "what nobody should read";
  await ask(chat("alpha", { messages: [{ role: "user", content: secret }] }));
  const path = "/models?api_key=in-the-query";
  await ask("", { method: "GET", path });
  await until("the log", 10, () => (door.log().match(/"path":"\/v1\/models"/) ? true : undefined));
  expect(door.log()).toMatch(/"model":"alpha".*"status":200/);
  for (const hidden of [KEY, secret, "in-the-query"]) expect(door.log()).not.toContain(hidden);
});

test(
  "a server that is not there yet: the request is sent again until it is",
  async () => {
    const answer = ask(chat("late"));
    await until("the first attempt", 10, async () => {
      const metrics = await (await fetch(`${door.metrics}/metrics`)).text();
      const failed = /upstream_cx_connect_fail\{envoy_cluster_name="model-late"\} [1-9]/;
      return failed.test(metrics) ? true : undefined;
    });
    const late = untilTheEnd(await ModelStub.start("I am late", latePort));
    expect(await contentOf(await answer)).toBe("I am late");
    expect(late.arrived).toHaveLength(1);
  },
  60 * SECONDS,
);

describe("a model whose pods the DNS does not name rightly is reached by its Service", () => {
  const count = async (name: string, model: string): Promise<number> => {
    const metrics = await (await fetch(`${door.metrics}/metrics`)).text();
    const line = `envoy_cluster_${name}\\{envoy_cluster_name="model-${model}"\\} (\\d+)`;
    return Number(new RegExp(line).exec(metrics)?.[1]);
  };

  test("none yet, as for a model that was just added", async () => {
    expect(await contentOf(await ask(chat("added")))).toBe("I am beta");
  });

  test("one that is gone is left out once it has refused three times", async () => {
    expect(await contentOf(await ask(chat("moved")))).toBe("I am beta");
    expect(await count("upstream_cx_connect_fail", "moved")).toBeGreaterThanOrEqual(3);
    expect(await count("outlier_detection_ejections_enforced_total", "moved")).toBe(1);
  });

  test("and not while a pod answers", async () => {
    expect(await contentOf(await ask(chat("both")))).toBe("I am alpha");
    expect(await count("upstream_cx_connect_fail", "both")).toBe(0);
  });
});

describe("an end", () => {
  test(
    "waits for the stream under way, and tells clients to go elsewhere",
    async () => {
      const old = await startDoor();
      const stream = await ask(chat("beta", { stream: true }), { at: old.url });
      const ended = jest.fn();
      const drained = old.drain(0, 60).then(ended);
      await until("draining", 10, async () =>
        (await fetch(`${old.metrics}/ready`)).status === 503 ? true : undefined,
      );
      expect((await fetch(`${old.metrics}/live`)).status).toBe(200);
      const another = await ask(chat("alpha"), { at: old.url });
      expect(another.headers.get("connection")).toBe("close");
      expect(await contentOf(another)).toBe("I am alpha");
      expect(ended).not.toHaveBeenCalled();
      beta.next("last words");
      beta.finish();
      expect(await stream.text()).toMatch(/last words[^]*\[DONE\]/);
      await drained;
      expect(await old.terminate()).toBe(0);
    },
    60 * SECONDS,
  );

  test(
    "under load loses no request",
    async () => {
      const old = await startDoor();
      const next = await startDoor();
      let at = old.url;
      let more = true;
      const sent = { old: 0, next: 0 };
      const client = async (): Promise<void> => {
        while (more) {
          sent[at === old.url ? "old" : "next"] += 1;
          expect(await contentOf(await ask(chat("alpha"), { at }))).toBe("I am alpha");
        }
      };
      const clients = Promise.all(Array.from({ length: 8 }, client));
      const reached = (which: keyof typeof sent, count: number) =>
        until(`requests to ${which}`, 20, () => (sent[which] >= count ? true : undefined));
      await reached("old", 100);
      // New connections go elsewhere a moment after the old pod was told to end.
      const drained = old.drain(1, 60);
      await reached("old", sent.old + 100);
      at = next.url;
      await drained;
      expect(await old.terminate()).toBe(0);
      await reached("next", sent.next + 100);
      more = false;
      await clients;
    },
    60 * SECONDS,
  );

  test("of a front door that is gone already is no reason to wait", async () => {
    const old = await startDoor();
    expect(await old.terminate()).toBe(0);
    await expect(old.drain(0, 60)).rejects.toThrow("exit code 1");
  });
});
