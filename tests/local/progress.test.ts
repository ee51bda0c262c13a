import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import { Progress, duration, readTimings } from "../../local/progress";

describe("progress", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "llmops-progress-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test.each([
    [0.42, "0.4s"],
    [59.4, "59s"],
    [59.6, "1m00s"],
    [252, "4m12s"],
  ])("%p seconds read %p", (seconds, expected) => {
    expect(duration(seconds)).toBe(expected);
  });

  test("tells each step, prints a table and remembers what took time", async () => {
    const timings = join(folder, "deep", "timings.json");
    const out = new PassThrough();
    const progress = new Progress({ total: 2, timings, out });
    await progress.step({ id: "a", label: "first", guess: 100 }, async () => {
      await new Promise((done) => setImmediate(done));
    });
    await progress.step({ id: "b", label: "second", guess: 100 }, (handle) => {
      handle.ready();
      handle.note("was there");
      return Promise.resolve();
    });
    progress.finish({ command: "make local", kind: "warm" });
    const text = String(out.read());
    expect(text).toMatch(/^\[1\/2\] first … \d\.\ds$/m);
    expect(text).toContain("[2/2] second: was there\n");
    expect(text).toMatch(/^second  \d\.\ds \(ready\)$/m);
    expect(text).not.toContain("\r");
    const remembered = readTimings(timings);
    expect(remembered.steps["a"]).toBeLessThan(1);
    expect(remembered.steps["b"]).toBe(100);
    expect(remembered.runs).toHaveLength(1);
    expect(readFileSync(timings, "utf8").endsWith("\n")).toBe(true);
  });

  test("a failed step is told, and its error goes on", async () => {
    const out = new PassThrough();
    const progress = new Progress({ total: 1, timings: join(folder, "timings.json"), out });
    const failing = progress.step({ id: "a", label: "first", guess: 1 }, () =>
      Promise.reject(new Error("no disk")),
    );
    await expect(failing).rejects.toThrow("no disk");
    expect(String(out.read())).toContain("first … failed after");
  });
});
