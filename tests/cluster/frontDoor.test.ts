import type { Outputs } from "./support/models";
import { lesson, readNodeAddress, readOutputs } from "./support/models";
import { eventually, kubectl } from "./support/platform";

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
  "bad requests are told apart: key, model, and length of the prompt",
  async () => {
    expect((await list("Bearer wrong")).status).toBe(401);
    const unknown = await chat("nobody", "hello");
    expect(unknown.status).toBe(404);
    expect(await unknown.text()).toContain("lumen7");
    expect((await chat("lumen7", "word ".repeat(20_000))).status).toBe(400);
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
