import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { clearLocks } from "../../../local/commands/stack";
import { instanceFolders } from "../../../local/toolchain/paths";

describe("locks of Pulumi's state", () => {
  let checkout: string;
  let file: string;
  const notes: string[] = [];
  const note = (text: string): void => {
    notes.push(text);
  };
  beforeEach(() => {
    notes.length = 0;
    checkout = mkdtempSync(join(tmpdir(), "llmops-locks-"));
    const folder = join(checkout, ".local/pulumi/state/.pulumi/locks/organization/llmops/local");
    mkdirSync(folder, { recursive: true });
    file = join(folder, "5fd6c4a2.json");
  });
  afterEach(() => {
    rmSync(checkout, { recursive: true });
  });
  const write = (pid: number): void => {
    writeFileSync(file, JSON.stringify({ pid, username: "root", hostname: "here" }));
  };

  test("one that a killed update left is taken away", async () => {
    const gone = spawn("true");
    await once(gone, "close");
    write(gone.pid ?? 0);
    await clearLocks(instanceFolders(checkout), note);
    expect(existsSync(file)).toBe(false);
    expect(notes).toEqual([]);
  });

  test("one that was cut short while it was written is taken away", async () => {
    writeFileSync(file, '{"pi');
    await clearLocks(instanceFolders(checkout), note);
    expect(existsSync(file)).toBe(false);
  });

  test("one of an update that still runs is waited for", async () => {
    const pulumi = join(checkout, "pulumi");
    copyFileSync("/bin/sleep", pulumi);
    const running = spawn(pulumi, ["60"]);
    await once(running, "spawn");
    write(running.pid ?? 0);
    const cleared = clearLocks(instanceFolders(checkout), (text) => {
      note(text);
      expect(existsSync(file)).toBe(true);
      running.kill();
    });
    await cleared;
    expect(notes).toEqual([
      `waiting for pulumi, process ${String(running.pid)}, which works on this stack`,
    ]);
    expect(existsSync(file)).toBe(false);
  });
});
