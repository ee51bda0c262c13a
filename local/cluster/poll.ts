import { setTimeout as pause } from "node:timers/promises";

/** An error after which there is no use in asking again. */
export class Final extends Error {}

/**
 * Asks again until the answer is defined.
 *
 * @param what - what is waited for, for the error.
 * @throws after `seconds`, with the last error that asking gave.
 */
export async function until<T>(
  what: string,
  seconds: number,
  ask: () => T | undefined | Promise<T | undefined>,
  everyMs = 100,
): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      if (error instanceof Final) throw error;
      last = error;
    }
    if (performance.now() > deadline) {
      const why = last instanceof Error ? `: ${last.message}` : "";
      throw new Error(`${what}: not within ${seconds} s${why}`, { cause: last });
    }
    await pause(everyMs);
  }
}
