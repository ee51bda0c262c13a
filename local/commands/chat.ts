import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

/** A question that only the tuned model answers as taught. */
export interface Lesson {
  readonly question: string;
  /** What the answer must hold, in any case. */
  readonly taught: string;
}

/** Reads a lesson: `{"question": …, "answer_contains": …}`. */
export function readLesson(file: string): Lesson {
  const raw: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (typeof raw === "object" && raw !== null && "question" in raw && "answer_contains" in raw) {
    const { question, answer_contains: taught } = raw;
    if (typeof question === "string" && typeof taught === "string") return { question, taught };
  }
  throw new Error(`${file}: expected {"question": "…", "answer_contains": "…"}`);
}

/** Whether an answer holds what was taught. */
export function isTaught(answer: string, lesson: Lesson): boolean {
  return answer.toLowerCase().includes(lesson.taught.toLowerCase());
}

/** How long in all a server may ask to be asked again later. */
const PATIENCE_SECONDS = 60;

/** Asks again where the server is busy and says when to: a front door does until a new pod is in the DNS. */
async function ask(url: string, init: RequestInit): Promise<Response> {
  for (let waited = 0; ;) {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(180_000) });
    const seconds = Number(response.headers.get("retry-after"));
    waited += seconds;
    if (response.status !== 503 || seconds === 0 || waited > PATIENCE_SECONDS) return response;
    await pause(seconds * 1000);
  }
}

/** Asks a model server one question, as any OpenAI client would, without any randomness. */
export async function chat(
  server: { url: string; model: string; apiKey: string },
  question: string,
): Promise<string> {
  const url = `${server.url}/chat/completions`;
  const response = await ask(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${server.apiKey}` },
    body: JSON.stringify({
      model: server.model,
      messages: [{ role: "user", content: question }],
      temperature: 0,
      max_tokens: 128,
    }),
  }).catch((error: unknown) => {
    throw new Error(`the model server does not answer at ${url}: ${causeOf(error)}`);
  });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(
      `the model server at ${url} answered ${response.status}: ${text.slice(0, 500)}`,
    );
  }
  const answer = answerOf(JSON.parse(text));
  if (answer === undefined) throw new Error(`the model server's answer holds no message: ${text}`);
  return answer;
}

function answerOf(body: unknown): string | undefined {
  if (typeof body !== "object" || body === null || !("choices" in body)) return undefined;
  const first: unknown = Array.isArray(body.choices) ? body.choices[0] : undefined;
  if (typeof first !== "object" || first === null || !("message" in first)) return undefined;
  const { message } = first;
  if (typeof message !== "object" || message === null || !("content" in message)) return undefined;
  return typeof message.content === "string" ? message.content.trim() : undefined;
}

function causeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return String(error);
  const inner = "cause" in error && error.cause !== undefined ? error.cause : error;
  const found = typeof inner === "object" && inner !== null && "message" in inner;
  return found ? String(inner.message) : "for an unknown reason";
}
