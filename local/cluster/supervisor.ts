import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, openSync, closeSync } from "node:fs";
import { get } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import type { NodeProcess, Probe } from "./nodeProcess.ts";

const READY_SECONDS = 120;
const SHORTEST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/** Starts processes in their order, starts again what ends, and ends them all. */
export class Supervisor {
  readonly #processes: readonly NodeProcess[];
  readonly #options: { logDir: string; env: NodeJS.ProcessEnv; authority?: Buffer };
  readonly #ready = new Map<string, Promise<void>>();
  readonly #children = new Map<string, ChildProcess>();
  readonly #say: (line: string) => void;
  #ending = false;

  constructor(
    processes: readonly NodeProcess[],
    options: { logDir: string; env: NodeJS.ProcessEnv; authority?: Buffer },
    say: (line: string) => void,
  ) {
    this.#processes = processes;
    this.#options = options;
    this.#say = say;
  }

  /** Resolves when every process has been ready once. */
  async start(): Promise<void> {
    for (const process of this.#processes) {
      const before = process.after.map((name) => {
        const ready = this.#ready.get(name);
        if (ready === undefined) throw new Error(`${process.name} is listed before ${name}`);
        return ready;
      });
      this.#ready.set(
        process.name,
        Promise.all(before).then(() => this.#bringUp(process)),
      );
    }
    await Promise.all(this.#ready.values());
  }

  /** Asks every process to end, last started first, and waits for at most `seconds`. */
  async stop(seconds: number): Promise<void> {
    this.#ending = true;
    const children = [...this.#children.values()].reverse();
    const ends = children.map(
      (child) => new Promise<void>((done) => child.once("exit", () => done())),
    );
    for (const child of children) child.kill("SIGTERM");
    await Promise.race([Promise.all(ends), pause(seconds * 1000, undefined, { ref: false })]);
  }

  async #bringUp(process: NodeProcess): Promise<void> {
    const started = performance.now();
    if (process.once !== undefined) {
      await this.#runOnce(process, process.once);
    } else {
      this.#keepRunning(process);
      await this.#untilReady(process);
    }
    this.#say(`${process.name} ready after ${Math.round(performance.now() - started)} ms`);
  }

  async #runOnce(process: NodeProcess, once: "needed" | "tried"): Promise<void> {
    for (let delay = SHORTEST_PAUSE_MS; !this.#ending; delay = longer(delay)) {
      const code = await this.#run(process);
      if (code === 0) return;
      const again = once === "needed" ? `; again in ${delay} ms` : "";
      this.#say(`${process.name} failed (${code})${again}`);
      if (once === "tried") return;
      await pause(delay);
    }
  }

  /** Runs the process for ever, in the background. */
  #keepRunning(process: NodeProcess): void {
    const loop = async (): Promise<void> => {
      let delay = SHORTEST_PAUSE_MS;
      while (!this.#ending) {
        const started = performance.now();
        const code = await this.#run(process);
        if (performance.now() - started > 10_000) delay = SHORTEST_PAUSE_MS;
        this.#say(`${process.name} ended (${code}); again in ${delay} ms`);
        await pause(delay);
        delay = longer(delay);
      }
    };
    loop().catch((error: unknown) => this.#say(`${process.name}: ${String(error)}`));
  }

  #run(process: NodeProcess): Promise<number | string> {
    const log = openSync(join(this.#options.logDir, `${process.name}.log`), "a");
    const [program, ...args] = process.command;
    const child = spawn(program, args, {
      cwd: "/",
      env: this.#options.env,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#children.set(process.name, child);
    return new Promise((done) => {
      child.once("error", (error) => done(error.message));
      child.once("exit", (code, signal) => done(code ?? signal ?? "unknown"));
    });
  }

  async #untilReady(process: NodeProcess): Promise<void> {
    const { ready } = process;
    if (ready === undefined) return;
    const deadline = performance.now() + READY_SECONDS * 1000;
    while (!(await holds(ready, this.#options.authority))) {
      if (performance.now() > deadline) {
        throw new Error(`${process.name} was not ready within ${READY_SECONDS} s`);
      }
      await pause(100);
    }
  }
}

function longer(delay: number): number {
  return Math.min(delay * 2, LONGEST_PAUSE_MS);
}

/** Whether a probe succeeds now. */
export function holds(probe: Probe, authority?: Buffer): Promise<boolean> {
  if (probe.kind === "tcp") return connects({ host: "127.0.0.1", port: probe.port });
  if (probe.kind === "socket") {
    return existsSync(probe.path) ? connects({ path: probe.path }) : Promise.resolve(false);
  }
  return new Promise((done) => {
    const { port, path } = probe;
    const request = get({ host: "127.0.0.1", port, path, ca: authority, timeout: 2_000 });
    request.on("response", (response) => {
      response.resume();
      done(response.statusCode === 200);
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", () => done(false));
  });
}

function connects(target: { host: string; port: number } | { path: string }): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(target);
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}
