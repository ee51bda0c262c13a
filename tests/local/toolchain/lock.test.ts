import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { tryLock, withLock } from "../../../local/toolchain/lock";

describe("locks", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "llmops-lock-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test("two holders of one lock never overlap", async () => {
    const file = join(folder, "deep", "lock");
    const events: string[] = [];
    const work = (name: string) => async (): Promise<void> => {
      events.push(`${name} in`);
      await new Promise((done) => setImmediate(done));
      events.push(`${name} out`);
    };
    await Promise.all([withLock(file, work("a")), withLock(file, work("b"))]);
    const [first, second] = events[0] === "a in" ? ["a", "b"] : ["b", "a"];
    expect(events).toEqual([`${first} in`, `${first} out`, `${second} in`, `${second} out`]);
  });

  test("a held lock is seen at once, and is free after its release", async () => {
    const file = join(folder, "lock");
    const held = await tryLock(file);
    await expect(tryLock(file)).resolves.toBeUndefined();
    await held?.release();
    const again = await tryLock(file);
    expect(again).toBeDefined();
    await again?.release();
  });
});
