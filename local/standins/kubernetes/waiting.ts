import { setTimeout as pause } from "node:timers/promises";
import { at, type Props } from "../values.ts";
import { find, findRaw, keyOf, remove } from "./api.ts";
import { isNotFound, Unreachable, type KubernetesClient } from "./client.ts";
import { annotation } from "./kinds.ts";
import { podReports } from "./pods.ts";
import { readiness, type Look } from "./ready.ts";

const defaultSeconds = 600;
const pollMs = { first: 250, most: 1_000 };

/** An object was made or changed, but did not become ready. */
export class NotReady extends Error {
  readonly object: Props;
  readonly reasons: string[];

  constructor(message: string, object: Props, reasons: string[]) {
    super([message, ...reasons].join("\n  "));
    this.object = object;
    this.reasons = [message, ...reasons];
  }
}

/** What a wait needs besides the object. */
export interface Wait {
  readonly client: KubernetesClient;
  readonly signal: AbortSignal;
  /** Seconds from customTimeouts, or 0. */
  readonly timeout: number;
  /** Shows progress. */
  readonly say: (message: string) => Promise<void>;
}

/** How long to wait for an object, in seconds: customTimeouts, the annotation, or ten minutes. */
export function secondsToWait(object: Props, timeout: number): number {
  const annotated = Number(annotation(object, "timeoutSeconds"));
  if (timeout > 0) {
    return timeout;
  }
  return annotated > 0 ? annotated : defaultSeconds;
}

/** Whether the object asks not to be waited for. */
export function skipsAwait(object: Props): boolean {
  return annotation(object, "skipAwait") === "true";
}

function lookUp({ client, signal }: Wait): Look {
  return async (path) => {
    const [root = "", search = ""] = path.split("?");
    const query = Object.fromEntries(new URLSearchParams(search));
    try {
      return await client.json({ method: "GET", path: root, query, signal });
    } catch (error) {
      if (isNotFound(error)) {
        return undefined;
      }
      throw error;
    }
  };
}

/** Repeats a step until it has an answer, is interrupted, or the time is over. */
async function until<T>(
  wait: Wait,
  seconds: number,
  step: () => Promise<T | undefined>,
): Promise<T | "interrupted" | "late"> {
  const deadline = Date.now() + seconds * 1_000;
  for (let delay = pollMs.first; ; delay = Math.min(pollMs.most, delay * 1.5)) {
    try {
      const answer = await step();
      if (answer !== undefined) {
        return answer;
      }
      if (Date.now() >= deadline) {
        return "late";
      }
      await pause(delay, undefined, { signal: wait.signal });
    } catch (error) {
      if (wait.signal.aborted) {
        return "interrupted";
      }
      if (!(error instanceof Unreachable) || Date.now() >= deadline) {
        throw error;
      }
      await wait.say("the API server is away; waiting for it");
    }
  }
}

/** Waits until the object is ready; {@link NotReady} tells why it is not. */
export async function awaitReady(applied: Props, wait: Wait): Promise<Props> {
  if (skipsAwait(applied)) {
    return applied;
  }
  const key = keyOf(applied);
  const look = lookUp(wait);
  const seconds = secondsToWait(applied, wait.timeout);
  let object = applied;
  let said = "";
  let last = "";
  const end = await until(wait, seconds, async () => {
    const found = await find(wait.client, key, wait.signal);
    if (found === undefined) {
      return { message: "it was deleted while it was waited for" };
    }
    object = found;
    const verdict = await readiness(found, look);
    if (verdict.state === "ready") {
      return { message: "" };
    }
    if (verdict.state === "failed") {
      return verdict;
    }
    const pods = await podReports(wait.client, found, false);
    last = verdict.message;
    const text = [last, ...pods].join("; ");
    if (text !== said) {
      said = text;
      await wait.say(text);
    }
    return undefined;
  });
  if (typeof end === "object" && end.message === "") {
    return object;
  }
  if (end === "interrupted") {
    throw new NotReady("the wait for it was interrupted", object, []);
  }
  const message = end === "late" ? `not ready after ${seconds} s: ${last}` : end.message;
  throw new NotReady(message, object, await podReports(wait.client, object, true));
}

/** Deletes the object and waits until it is gone. */
export async function removeAndWait(object: Props, wait: Wait): Promise<void> {
  const key = keyOf(object);
  const before = await findRaw(wait.client, key);
  if (before === undefined || !(await remove(wait.client, object)) || skipsAwait(object)) {
    return;
  }
  const uid = at(before, "metadata", "uid");
  const seconds = secondsToWait(object, wait.timeout);
  let finalizers = "";
  const end = await until(wait, seconds, async () => {
    const found = await find(wait.client, key, wait.signal);
    if (found === undefined || at(found, "metadata", "uid") !== uid) {
      return "gone" as const;
    }
    const held = at(found, "metadata", "finalizers") ?? at(found, "spec", "finalizers");
    finalizers = Array.isArray(held) ? held.map(String).join(", ") : "";
    await wait.say(`being deleted${finalizers === "" ? "" : `, held by ${finalizers}`}`);
    return undefined;
  });
  if (end !== "gone") {
    const held = finalizers === "" ? "" : `; it is held by the finalizers ${finalizers}`;
    throw new Error(
      end === "interrupted"
        ? "the deletion was asked for, but the wait for its end was interrupted"
        : `${key.kind} ${key.name} is still there ${seconds} s after its deletion${held}`,
    );
  }
}
