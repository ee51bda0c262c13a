import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { Outputs } from "./support/models";
import { lesson, readNodeAddress, readOutputs } from "./support/models";
import { STACK_FILE, eventually, pulumi, update } from "./support/platform";

jest.setTimeout(10 * 60_000);

let nodeAddress: string;
let outputs: Outputs;
let original: string;
let broughtBack = false;

beforeAll(async () => {
  original = readFileSync(STACK_FILE, "utf8");
  [nodeAddress, outputs] = await Promise.all([readNodeAddress(), readOutputs()]);
});

/** Leaves the stack as it was. */
async function bringBack(): Promise<void> {
  writeFileSync(STACK_FILE, original, { mode: 0o600 });
  await update();
  broughtBack = true;
}

afterAll(async () => {
  if (!broughtBack) await bringBack();
});

/** Asks the tuned model through the front door; gives the status of the answer. */
async function ask(traceparent: string): Promise<number> {
  const port = outputs.endpoints.frontDoor?.nodePort;
  const response = await fetch(`http://${nodeAddress}:${String(port)}/v1/chat/completions`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${outputs.vllmApiKey}`,
      "content-type": "application/json",
      traceparent,
    },
    body: JSON.stringify({
      model: "lumen7",
      messages: [{ role: "user", content: lesson.question }],
      max_tokens: 8,
    }),
  });
  await response.arrayBuffer();
  return response.status;
}

interface Span {
  readonly name: string;
  readonly span_id: string;
  readonly parent_span_id?: string;
  readonly attributes: readonly { readonly key: string; readonly value: { int_value?: number } }[];
}

/** The spans of a trace in MLflow, once it has those of the front door and of the server. */
function spansOf(traceId: string): Promise<readonly Span[]> {
  const { nodePort } = outputs.endpoints.mlflow;
  const url = `http://${nodeAddress}:${String(nodePort)}/api/3.0/mlflow/traces/get?trace_id=tr-${traceId}`;
  return eventually("both spans in MLflow", 60, async () => {
    const response = await fetch(url);
    if (!response.ok) return undefined;
    const { trace } = (await response.json()) as { trace: { spans: readonly Span[] } };
    return trace.spans.length >= 2 ? trace.spans : undefined;
  });
}

test("with tracing, one request is one trace in MLflow: the front door's span, and below it vLLM's", async () => {
  await update((config) => {
    config["llmops:tracing"] = { kind: "mlflow", ratio: 1 };
  });
  const traceId = randomBytes(16).toString("hex");
  expect(await ask(`00-${traceId}-${randomBytes(8).toString("hex")}-01`)).toBe(200);
  const spans = await spansOf(traceId);
  expect(spans).toHaveLength(2);
  const server = spans.find(({ name }) => name === "llm_request");
  const door = spans.find(({ name }) => name !== "llm_request");
  expect(server?.parent_span_id).toBe(door?.span_id);
  const tokens = server?.attributes.find(({ key }) => key === "gen_ai.usage.completion_tokens");
  expect(tokens?.value.int_value).toBeGreaterThan(0);
});

test("the stack is brought back as it was", async () => {
  await bringBack();
  expect(await pulumi("preview", "--expect-no-changes")).toMatchObject({ code: 0 });
});
