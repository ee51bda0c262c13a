import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Final, until } from "../../../local/cluster/poll.ts";

/** Where a server runs. */
export interface Place {
  /** Address that it listens on. */
  readonly address: string;
  /** Words that run a command there. */
  readonly enter: readonly string[];
}

/** This machine, for itself. */
export const loopback: Place = { address: "127.0.0.1", enter: [] };

/** What a server is started with. */
export interface ServerOptions {
  readonly place: Place;
  /** TCP port; it is free. */
  readonly port: number;
  /** Empty folder of its own, for its files and its log. */
  readonly folder: string;
}

const START_SECONDS = 60;

/** A server's process. It ends with the process that started it, however that ends. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(child: ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
  }

  /** Starts a server and waits until it listens. @throws with its log where it ends at once. */
  public static async start(
    { place, port, folder }: ServerOptions,
    command: readonly string[],
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<ServerProcess> {
    const file = join(folder, "server.log");
    const log = openSync(file, "a");
    const words = ["--pdeathsig", "KILL", ...place.enter, ...command];
    const child = spawn("setpriv", words, { stdio: ["ignore", log, log], cwd: folder, env });
    closeSync(log);
    let ended: string | undefined;
    child.once("error", ({ message }) => (ended = message));
    child.once("exit", (code, signal) => (ended = `exit code ${String(code ?? signal)}`));
    const server = new ServerProcess(child, file);
    const name = command[0] ?? "";
    const started = until(`${name} on port ${port}`, START_SECONDS, async () => {
      if (ended !== undefined) throw new Final(`${name}: ${ended}\n${server.log()}`);
      return (await listens(place.address, port)) ? true : undefined;
    });
    await started.catch(async (error: unknown) => {
      await server.stop();
      throw error;
    });
    return server;
  }

  /** What it has printed so far. */
  public log(): string {
    return readFileSync(this.#log, "utf8");
  }

  /** Its process id. */
  public get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Asks it to end (SIGTERM), and waits for its exit code. */
  public async terminate(): Promise<number | null> {
    const end = new Promise<number | null>((done) => this.#child.once("exit", done));
    this.#child.kill("SIGTERM");
    return end;
  }

  /** Ends it at once, and waits for the end. */
  public async stop(): Promise<void> {
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const end = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await end;
  }
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host, port, timeout: 1000 });
    const answer = (yes: boolean) => () => {
      socket.destroy();
      done(yes);
    };
    socket.once("connect", answer(true)).once("error", answer(false));
    socket.once("timeout", answer(false));
  });
}
