import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "../../local/cluster/poll.ts";
import type { TraceTarget } from "../../workloads/tracing";
import { traceArgs, traceEnv, traceTarget } from "../../workloads/tracing";
import { settled } from "../support/outputs";
import { freePort } from "../support/ports";
import { ROOT } from "../support/program";
import { startFrontDoor } from "../support/servers/frontDoor";
import type { RunningMlflow } from "../support/servers/mlflow";
import { startMlflow } from "../support/servers/mlflow";
import { ModelStub } from "../support/servers/modelStub";
import { loopback } from "../support/servers/server";
import { settingsOf, validTree } from "../support/settings";

const run = promisify(execFile);
const SECONDS = 1000;
const KEY = "sk-planted-5b1f";
const HEADER = "Basic cGxhbnRlZA==";

let scratch: string;
let stub: ModelStub;
let mlflow: RunningMlflow;
let modelPort: number;
const running: { stop(): Promise<void> }[] = [];

function untilTheEnd<T extends { stop(): Promise<void> }>(server: T): T {
  running.push(server);
  return server;
}

const folder = (): string => mkdtempSync(join(scratch, "server-"));

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-tracing-"));
  modelPort = await freePort();
  stub = untilTheEnd(await ModelStub.start("I am alpha", modelPort));
  const place = { place: loopback, port: await freePort(), folder: folder() };
  mlflow = untilTheEnd(await startMlflow(place));
}, 120 * SECONDS);

afterAll(async () => {
  await Promise.all(running.map((server) => server.stop()));
  rmSync(scratch, { recursive: true, force: true });
});

/** What a stack with these settings sends spans to, but at an address of this machine. */
function targetAt(url: string, tracing: object): TraceTarget {
  const target = traceTarget(settingsOf({ ...validTree(), tracing }));
  if (target === undefined) throw new Error("the settings trace");
  return { ...target, url };
}

async function startDoor(target: TraceTarget, headers?: string) {
  const at = { pods: loopback.address, service: "gone.invalid", port: modelPort };
  const traces = headers === undefined ? { target } : { target, headers };
  const models = [{ name: "alpha", served: ["alpha"], ...at }];
  return untilTheEnd(
    await startFrontDoor({ folder: folder(), key: KEY, maxBodyMiB: 1, models, traces }),
  );
}

/** Asks for an answer; gives what the server of the model got as `traceparent`. */
async function ask(door: { url: string }, traceparent?: string): Promise<string> {
  const response = await fetch(`${door.url}/chat/completions`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${KEY}`,
      "content-type": "application/json",
      ...(traceparent === undefined ? {} : { traceparent }),
    },
    body: JSON.stringify({ model: "alpha", messages: [{ role: "user", content: "planted 7c1e" }] }),
  });
  expect(response.status).toBe(200);
  return stub.arrived.at(-1)?.traceparent ?? "";
}

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { fieldRef?: object; secretKeyRef?: { name: string; key: string } };
}

/** The environment of the pod of a model, with the values that Kubernetes would put in. */
async function podEnv(target: TraceTarget): Promise<Record<string, string>> {
  const stack = { model: "alpha", namespace: "llmops", secrets: { OTLP_HEADERS: "otlp-secret" } };
  const env = (await settled(traceEnv(target, stack))) as EnvVar[];
  return Object.fromEntries(
    env.map(({ name, value, valueFrom }) => {
      if (value !== undefined) return [name, value];
      if (valueFrom?.secretKeyRef === undefined) return [name, "pod-1"];
      expect(valueFrom.secretKeyRef).toEqual({ name: "otlp-secret", key: "OTLP_HEADERS" });
      return [name, `authorization=${encodeURIComponent(HEADER)}`];
    }),
  );
}

/** Sends a span as vLLM does, in the environment that the pod of a model has. */
async function serve(target: TraceTarget, ...traceparent: string[]): Promise<void> {
  const [, endpoint = ""] = traceArgs(target);
  const script = join(ROOT, "tests", "support", "send_span.py");
  await run("python", [script, endpoint, ...traceparent], {
    env: { PATH: process.env["PATH"], ...(await podEnv(target)) },
  });
}

interface Span {
  readonly name: string;
  readonly span_id: string;
  readonly parent_span_id?: string;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
}

interface Trace {
  readonly trace_info: { readonly state: string; readonly tags: Readonly<Record<string, string>> };
  readonly spans: readonly Span[];
}

const traceIdOf = (traceparent: string): string => traceparent.split("-")[1] ?? "";
const hex = (base64 = ""): string => Buffer.from(base64, "base64").toString("hex");

/** A trace as MLflow's API gives it, once it has as many spans. */
function traceInMlflow(traceparent: string, spans: number): Promise<Trace> {
  const url = `${mlflow.url}/api/3.0/mlflow/traces/get?trace_id=tr-${traceIdOf(traceparent)}`;
  return until(`${String(spans)} spans in MLflow`, 60, async () => {
    const response = await fetch(url);
    if (response.status !== 200) return undefined;
    const { trace } = (await response.json()) as { trace: Trace };
    return trace.spans.length >= spans ? trace : undefined;
  });
}

test(
  "one request is one trace in MLflow: the front door's span, and below it the server's with its tokens",
  async () => {
    const target = targetAt(`${mlflow.url}/v1/traces`, { kind: "mlflow", ratio: 1 });
    const door = await startDoor(target);
    const traceparent = await ask(door);
    expect(traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    await serve(target, traceparent);
    const trace = await traceInMlflow(traceparent, 2);
    const [first, server] = [...trace.spans].sort((a) => (a.name === "llm_request" ? 1 : -1));
    expect(server?.name).toBe("llm_request");
    expect(hex(first?.span_id)).toBe(traceparent.split("-")[2]);
    expect(hex(server?.parent_span_id)).toBe(hex(first?.span_id));
    expect(hex(first?.parent_span_id)).toBe("");
    expect(trace.trace_info).toMatchObject({
      state: "OK",
      trace_metadata: {
        "mlflow.trace.tokenUsage": '{"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}',
      },
    });
    expect(first?.attributes).toContainEqual({
      key: "llmops.model",
      value: { string_value: "alpha" },
    });
    expect(door.log()).not.toMatch(/deprecated|work-in-progress/);
    const text = JSON.stringify(trace);
    for (const planted of ["planted 7c1e", KEY]) expect(text).not.toContain(planted);
  },
  120 * SECONDS,
);

test(
  "a request that the client traces is in the client's trace",
  async () => {
  const client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  // Of a million requests one would be drawn: the client has said yes.
  const target = targetAt(`${mlflow.url}/v1/traces`, { kind: "mlflow", ratio: 0.000001 });
  const door = await startDoor(target);
    expect(await ask(door)).toMatch(/-00$/);
    const traceparent = await ask(door, client);
  expect(traceIdOf(traceparent)).toBe(traceIdOf(client));
  await serve(target, traceparent);
  const { spans } = await traceInMlflow(traceparent, 2);
  const first = spans.find(({ name }) => name !== "llm_request");
  expect(hex(first?.parent_span_id)).toBe("b7ad6b7169203331");
},
  60 * SECONDS,
);

describe("a collector with a login", () => {
  test(
    "gets the headers of the secret from both, and no span of what was not drawn",
    async () => {
      const got: { path: string; authorization: string | undefined; team: unknown }[] = [];
      const port = await freePort();
      const collector = createServer((request, response) => {
        const { authorization, "x-team": team } = request.headers;
        got.push({ path: request.url ?? "", authorization, team });
        request.resume().once("end", () => response.writeHead(200).end());
      });
      await new Promise<void>((done) => collector.listen(port, loopback.address, done));
      untilTheEnd({
        stop: async () => {
          const closed = new Promise((done) => collector.close(done));
          collector.closeAllConnections();
          await closed;
        },
      });
      const endpoint = `http://${loopback.address}:${String(port)}/v1/traces`;
      const settings = { kind: "otlp", endpoint, cidr: "127.0.0.1/32", ratio: 1 };
      const target = targetAt(endpoint, settings);
      const door = await startDoor(
        target,
        `authorization=${encodeURIComponent(HEADER)},x-team=${encodeURIComponent("100% us")}`,
      );
      // Not drawn: neither of the two tells of it, and no later batch can hold what never was.
      const refused = await ask(door, "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00");
      expect(refused).toMatch(/^00-0af7651916cd43dd8448eb211c80319d-[0-9a-f]{16}-00$/);
      await serve(target, refused);
      expect(got).toEqual([]);
      await serve(target, await ask(door));
      await until("spans of both", 30, () => Promise.resolve(got.length >= 2 || undefined));
      const path = "/v1/traces";
      expect(got).toContainEqual({ path, authorization: HEADER, team: undefined });
      expect(got).toContainEqual({ path, authorization: HEADER, team: "100% us" });
    },
    60 * SECONDS,
  );
});
