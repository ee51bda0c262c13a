import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync } from "node:fs";
import { delimiter } from "node:path";
import { runningProcess } from "../../../local/toolchain/process.ts";

/** The environment with the project's own tools first on PATH, as the Makefile sets it for the tests. */
export function toolsEnvironment(): NodeJS.ProcessEnv {
  const tools = process.env["LLMOPS_TOOLS_BIN"] ?? "";
  const path = [tools, process.env["PATH"] ?? ""].filter((part) => part !== "").join(delimiter);
  return { ...process.env, PATH: path };
}

/** The running processes of a session: what was started by the process that opened it, in whatever process group. */
export function sessionMembers(session: number): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && runningProcess(pid)?.session === session);
}

/** A process of a test, with the end of what it printed. */
export class Background {
  private readonly child: ChildProcess;
  private readonly ended: Promise<void>;
  private output = "";

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    const take = (chunk: Buffer): void => {
      this.output = (this.output + chunk.toString("utf8")).slice(-8_000);
    };
    this.child.stdout?.on("data", take);
    this.child.stderr?.on("data", take);
    this.ended = new Promise((resolve) => {
      this.child.on("error", (error) => {
        this.output += String(error);
        resolve();
      });
      this.child.on("exit", () => resolve());
    });
  }

  /** Fails with the process's last words if it has ended. */
  check(): void {
    if (this.child.exitCode !== null || this.child.pid === undefined) {
      throw new Error(`a process of the test ended early:\n${this.output}`);
    }
  }

  /** Waits for the end; gives the exit code. */
  async end(): Promise<number> {
    await this.ended;
    return this.child.exitCode ?? -1;
  }

  /** Ends the process, and waits for its end. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.child.exitCode === null && this.child.pid !== undefined) {
      this.child.kill(signal);
      await this.ended;
    }
  }
}
