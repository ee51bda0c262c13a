import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeProcess } from "../../../local/cluster/nodeProcess.ts";
import { Supervisor } from "../../../local/cluster/supervisor.ts";

let logDir: string;

beforeEach(() => {
  logDir = mkdtempSync(join(tmpdir(), "llmops-supervisor-"));
});

afterEach(() => {
  rmSync(logDir, { recursive: true });
});

const once = (name: string, script: string, more: Partial<NodeProcess> = {}): NodeProcess => ({
  name,
  command: ["/bin/sh", "-c", script],
  after: [],
  once: "needed",
  ...more,
});

/** Runs processes that all end, and gives what was said of them, without the times. */
async function told(...processes: NodeProcess[]): Promise<string[]> {
  const lines: string[] = [];
  const supervisor = new Supervisor(processes, { logDir, env: process.env }, (line) =>
    lines.push(line.replace(/ after \d+ ms/, "")),
  );
  await supervisor.start();
  return lines;
}

test("a process starts after what it names has ended well", async () => {
  const first = once("first", "true");
  const lines = await told(first, once("second", "true", { after: ["first"] }));
  expect(lines).toEqual(["first ready", "second ready"]);
});

test("what is needed is run until it ends well", async () => {
  const lines = await told(once("load", `echo try; mkdir '${logDir}/done' && exit 3; exit 0`));
  expect(lines).toEqual(["load failed (3); again in 200 ms", "load ready"]);
  expect(readFileSync(join(logDir, "load.log"), "utf8")).toMatch(/^try\n(.*\n)?try\n/);
});

test("a failure of what is only tried holds nothing up", async () => {
  const clean = once("clean", "exit 1", { once: "tried" });
  const lines = await told(clean, once("serve", "true", { after: ["clean"] }));
  expect(lines).toEqual(["clean failed (1)", "clean ready", "serve ready"]);
});
