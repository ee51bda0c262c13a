import { join } from "node:path";
import { ROOT } from "../support/program";
import type { Outputs } from "./support/models";
import { lesson, readNodeAddress, readOutputs } from "./support/models";
import { eventually, kubectl, run } from "./support/platform";

const MINUTES = 60_000;
const DEPLOYMENT = "deployment/llm-front-door";

let outputs: Outputs;
let base: string;

beforeAll(async () => {
  outputs = await readOutputs();
  const { frontDoor } = outputs.endpoints;
  if (frontDoor === undefined) throw new Error("stack local has no front door");
  base = `http://${await readNodeAddress()}:${String(frontDoor.nodePort)}/v1`;
}, 2 * MINUTES);

const authorization = (): string => `Bearer ${outputs.vllmApiKey}`;

const list = (key = authorization()): Promise<Response> =>
  fetch(`${base}/models`, { headers: { authorization: key } });

const chat = (model: string, content: string): Promise<Response> =>
  fetch(`${base}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: authorization() },
    body: JSON.stringify({
      model,
      messages: [{ role: "user", content }],
      temperature: 0,
      max_tokens: 64,
    }),
  });

/** The status of a whole answer, or what went wrong. */
async function outcome(ask: () => Promise<Response>): Promise<string> {
  try {
    const response = await ask();
    await response.arrayBuffer();
    return String(response.status);
  } catch (error) {
    return String(error);
  }
}

test(
  "the front door lists the models, and each answers by its name",
  async () => {
    const { data } = (await (await list()).json()) as { data: { id: string }[] };
    const names = Object.values(outputs.endpoints.models).map(({ model }) => model);
    expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(names));
    for (const name of names) {
      const response = await chat(name, lesson.question);
      expect({ name, status: response.status }).toEqual({ name, status: 200 });
      expect(await response.json()).toMatchObject({ model: name });
    }
    expect(await (await chat("lumen7", lesson.question)).text()).toContain(lesson.answer_contains);
  },
  5 * MINUTES,
);

test(
  "OpenAI's client, unmodified, is answered, or told by the exception that it documents what was wrong",
  async () => {
    const script = join(ROOT, "images", "front-door", "tests", "openai_client.py");
    const maxBodyMiB = "1";
    const told = JSON.parse(
      await run(ROOT, "python", script, base, outputs.vllmApiKey, "lumen7", "lumen7", maxBodyMiB),
    ) as Record<string, unknown>;
    const raised = (name: string, status: number, message: string): unknown =>
      expect.objectContaining({ raised: name, status, message: expect.stringContaining(message) });
    const unknown = raised("NotFoundError", 404, "This model does not exist. Models: lumen7");
    const wrongKey = raised("AuthenticationError", 401, "Missing or wrong API key");
    expect(told).toEqual({
      list: ["lumen7"],
      retrieve: "lumen7",
      model: expect.any(String),
      other: expect.any(String),
      unknown,
      "retrieve unknown": unknown,
      "wrong key": wrongKey,
      "list with wrong key": wrongKey,
      "too long": raised("BadRequestError", 400, "maximum context length"),
      "too large": raised("APIStatusError", 413, "larger than 1 MiB"),
    });
  },
  MINUTES,
);

test(
  "a rollout of the front door loses no request",
  async () => {
    let more = true;
    const statuses = new Map<string, number>();
    const client = async (ask: () => Promise<Response>): Promise<void> => {
      while (more) {
        const told = await outcome(ask);
        statuses.set(told, (statuses.get(told) ?? 0) + 1);
      }
    };
    const clients = Promise.all([
      ...Array.from({ length: 4 }, () => client(() => list())),
      client(() => chat("lumen7", lesson.question)),
    ]);
    await eventually("answers", 60, () =>
      Promise.resolve((statuses.get("200") ?? 0) > 50 ? true : undefined),
    );
    await kubectl("rollout", "restart", DEPLOYMENT);
    await kubectl("rollout", "status", DEPLOYMENT, "--timeout=120s");
    // The old pod is gone once it has drained.
    await eventually("one generation of pods", 120, async () => {
      const args = ["get", "pods", "-l", "app.kubernetes.io/component=front-door", "-o", "json"];
      const { items } = JSON.parse(await kubectl(...args)) as {
        items: { metadata: { deletionTimestamp?: string } }[];
      };
      const ending = items.some(({ metadata }) => metadata.deletionTimestamp !== undefined);
      return ending ? undefined : true;
    });
    more = false;
    await clients;
    expect([...statuses.keys()]).toEqual(["200"]);
  },
  6 * MINUTES,
);
