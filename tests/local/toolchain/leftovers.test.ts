import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { until } from "../../../local/cluster/poll";
import { endLeftovers, markProcesses, startedFor } from "../../../local/toolchain/leftovers";
import { recall, recorded } from "../../../local/toolchain/process";

const instance = `t${String(process.pid)}`;
let folder: string;
let before: NodeJS.ProcessEnv;
const started: ChildProcess[] = [];
beforeEach(() => {
  before = { ...process.env };
  folder = mkdtempSync(join(tmpdir(), "llmops-leftovers-"));
});
afterEach(() => {
  process.env = before;
  for (const child of started.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

function start(command: readonly string[]): ChildProcess {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { detached: true, stdio: "ignore", env: process.env });
  started.push(child);
  return child;
}

test("what was started for an instance is ended, however far down it was started, and nothing else", async () => {
  const other = start(["sleep", "60"]);
  markProcesses(instance);
  start(["sh", "-c", "setsid sleep 60 & setsid sleep 60 & wait"]);
  await until("three processes", 10, () => (startedFor(instance).length === 3 ? true : undefined));
  await endLeftovers(instance);
  expect(startedFor(instance)).toEqual([]);
  expect(other.exitCode ?? other.signalCode).toBeNull();
  await endLeftovers(instance);
});

test("a process that writes itself down is known by its own record", async () => {
  const record = join(folder, "one.json");
  const child = start(recorded(record, ["sleep", "60"], { folder: 'a "quoted" name' }));
  const known = await until("the record", 10, () => recall(record));
  expect(known).toMatchObject({ pid: child.pid, folder: 'a "quoted" name' });
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(recall(record)).toBeUndefined();
});

test("without a record nothing runs", async () => {
  const made = join(folder, "made");
  const child = start(recorded(join(folder, "missing", "one.json"), ["touch", made]));
  const [code] = (await once(child, "exit")) as [number];
  expect(code).not.toBe(0);
  expect(existsSync(made)).toBe(false);
});
