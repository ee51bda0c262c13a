import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CommandError, run, tryRun } from "../../../local/toolchain/run";

describe("external commands", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "llmops-run-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test("gives standard output and keeps everything in the log", async () => {
    const log = join(folder, "log", "step.log");
    const script = "echo out; echo err >&2";
    await expect(run("sh", ["-c", script], { what: "a step", log })).resolves.toBe("out");
    expect(readFileSync(log, "utf8")).toContain("err\n");
  });

  test("a failure says what, exit code, last lines, log and remedy", async () => {
    const log = join(folder, "step.log");
    const options = { what: "fetching things", remedy: "try again", log };
    const failed = run("sh", ["-c", "echo no route >&2; exit 7"], options);
    await expect(failed).rejects.toThrow(CommandError);
    await expect(failed).rejects.toThrow(
      [
        "fetching things failed (exit code 7).",
        "  command: sh -c echo no route >&2; exit 7",
        "  last lines:",
        "    no route",
        `  log: ${log}`,
        "  what to do: try again",
      ].join("\n"),
    );
  });

  test("a log that cannot be written, as on a full disk, ends nothing and is told when the command fails", async () => {
    const log = "/dev/full";
    await expect(run("echo", ["out"], { what: "a step", log })).resolves.toBe("out");
    await expect(run("sh", ["-c", "echo out; exit 7"], { what: "a step", log })).rejects.toThrow(
      /^a step failed \(exit code 7\)[^]*\n {2}log: \/dev\/full \(ends early: ENOSPC/,
    );
  });

  test("a missing command is a failure like any other", async () => {
    await expect(run("llmops-no-such-command", [], { what: "a step" })).rejects.toThrow(
      /^a step failed \(.*ENOENT.*\)/,
    );
    await expect(tryRun("llmops-no-such-command", [])).resolves.toBeUndefined();
  });

  test("an abort ends the command", async () => {
    const controller = new AbortController();
    const running = run("sleep", ["60"], { what: "waiting", signal: controller.signal });
    controller.abort();
    await expect(running).rejects.toThrow(/^waiting failed/);
  });

  test("an interrupted command ends by itself, and its last words are kept", async () => {
    const controller = new AbortController();
    const log = join(folder, "step.log");
    const script = "trap 'echo tidied; exit 3' INT; echo ready; while :; do sleep 0.05; done";
    const running = run("bash", ["-c", script], {
      what: "working",
      log,
      interrupt: controller.signal,
      onLine: (line) => {
        if (line === "ready") controller.abort();
      },
    });
    await expect(running).rejects.toThrow(/^working failed \(exit code 3\)/);
    expect(readFileSync(log, "utf8")).toContain("tidied\n");
  });
});
