import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { finished } from "node:stream/promises";

/** How an external command is run and how its failure is explained. */
export interface RunOptions {
  /** What the command is for, as a phrase that fits "… failed". */
  readonly what: string;
  /** What the user can do when it fails. */
  readonly remedy?: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** File that keeps the whole output. */
  readonly log?: string;
  /** Text for the command's standard input. */
  readonly input?: string;
  /** Ends the command when it fires. */
  readonly signal?: AbortSignal;
  /**
   * Interrupts the command when it fires, and leaves the command the time to end by itself. It runs in a process group
   * of its own, so that a Ctrl-C of the terminal reaches it once, through this.
   */
  readonly interrupt?: AbortSignal;
  /** Whether a line is worth showing when the command fails. @default every line is */
  readonly telling?: (line: string) => boolean;
  /** Called with each line of output as it comes. */
  readonly onLine?: (line: string) => void;
}

const TAIL_LINES = 20;

/** An external command that ended badly: what it was for, how it ended, its last lines, its log, the remedy. */
export class CommandError extends Error {
  readonly exitCode: number | undefined;

  constructor(
    command: readonly string[],
    options: RunOptions,
    ended: { code?: number; reason?: string },
    tail: readonly string[],
  ) {
    const how = ended.code === undefined ? (ended.reason ?? "ended") : `exit code ${ended.code}`;
    const lines = [`${options.what} failed (${how}).`, `  command: ${command.join(" ")}`];
    if (tail.length > 0) lines.push("  last lines:", ...tail.map((line) => `    ${line}`));
    if (options.log !== undefined) lines.push(`  log: ${options.log}`);
    if (options.remedy !== undefined) lines.push(`  what to do: ${options.remedy}`);
    super(lines.join("\n"));
    this.name = "CommandError";
    this.exitCode = ended.code;
  }
}

/**
 * Runs a command to its end and gives its standard output.
 *
 * @throws {CommandError} when it cannot start or ends with another code than 0.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<string> {
  const log = options.log === undefined ? undefined : openLog(options.log);
  const words = [command, ...args];
  log?.write(`$ ${words.join(" ")}\n`);
  const output: string[] = [];
  const tail: string[] = [];
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    detached: options.interrupt !== undefined,
  });
  const interrupt = (): void => {
    child.kill("SIGINT");
  };
  if (options.interrupt?.aborted === true) interrupt();
  options.interrupt?.addEventListener("abort", interrupt);
  let logged = options.log;
  const refused = (error: Error): void => {
    logged = `${options.log ?? ""} (ends early: ${error.message})`;
  };
  log?.on("error", refused);
  const keep = (line: string): void => {
    if (log?.writable === true) log.write(`${line}\n`);
    if (options.telling?.(line) !== false) tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    options.onLine?.(line);
  };
  const { stdin, stdout, stderr } = child;
  if (stdin !== null) {
    stdin.on("error", (error) => {
      keep(`(standard input closed early: ${error.message})`);
    });
    stdin.end(options.input);
  }
  if (stdout !== null) {
    createInterface({ input: stdout }).on("line", (line) => {
      output.push(line);
      keep(line);
    });
  }
  if (stderr !== null) createInterface({ input: stderr }).on("line", keep);
  const ended = await new Promise<{ code?: number; reason?: string }>((done) => {
    child.on("error", (error) => {
      done({ reason: error.message });
    });
    child.on("close", (code, signal) => {
      done(code === null ? { reason: `ended by ${signal ?? "a signal"}` } : { code });
    });
  });
  options.interrupt?.removeEventListener("abort", interrupt);
  if (log?.writable === true) {
    log.end();
    await finished(log).catch(refused);
  }
  if (ended.code !== 0) {
    const told = logged === undefined ? options : { ...options, log: logged };
    throw new CommandError(words, told, ended, tail);
  }
  return output.join("\n");
}

/** Like {@link run}, but gives `undefined` where the command is missing or ends with another code than 0. */
export async function tryRun(
  command: string,
  args: readonly string[],
  options: Partial<RunOptions> = {},
): Promise<string | undefined> {
  try {
    return await run(command, args, { what: command, ...options });
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}

function openLog(file: string): ReturnType<typeof createWriteStream> {
  mkdirSync(dirname(file), { recursive: true });
  return createWriteStream(file, { flags: "a" });
}
