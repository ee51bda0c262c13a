import { existsSync, readFileSync } from "node:fs";

import { replaceFile } from "./files.ts";

/** What a step's work can tell about itself. */
export interface StepHandle {
  /** The step found its result ready: its time says nothing about the next run. */
  readonly ready: () => void;
  /** A line about what the step is doing. */
  readonly note: (text: string) => void;
}

/** Time that one step took. */
export interface StepTime {
  readonly id: string;
  readonly label: string;
  readonly seconds: number;
  readonly ready: boolean;
}

/** One remembered run of a command. */
export interface RecordedRun {
  readonly command: string;
  readonly kind: string;
  readonly at: string;
  readonly seconds: number;
  readonly steps: Record<string, number>;
}

interface Timings {
  steps: Record<string, number>;
  runs: RecordedRun[];
}

const HEARTBEAT_MS = 30_000;
/** A step that ends sooner is only told about once. */
const ANNOUNCE_MS = 300;
const KEPT_RUNS = 20;

/** Reads the durations of earlier runs. */
export function readTimings(file: string): Timings {
  if (!existsSync(file)) return { steps: {}, runs: [] };
  const raw: unknown = JSON.parse(readFileSync(file, "utf8"));
  return isTimings(raw) ? raw : { steps: {}, runs: [] };
}

/** "4m12s", "12s", "0.4s". */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  return whole < 60
    ? `${whole}s`
    : `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, "0")}s`;
}

/** Numbered steps with the time taken and, from earlier runs, the time left. Steps may run side by side. */
export class Progress {
  readonly #file: string;
  readonly #total: number;
  readonly #out: NodeJS.WritableStream;
  readonly #timings: Timings;
  readonly #done: StepTime[] = [];
  readonly #running = new Map<string, { label: string; number: number; since: number }>();
  readonly #started = performance.now();
  #count = 0;
  #beat: NodeJS.Timeout | undefined;

  constructor(options: { total: number; timings: string; out?: NodeJS.WritableStream }) {
    this.#total = options.total;
    this.#file = options.timings;
    this.#out = options.out ?? process.stdout;
    this.#timings = readTimings(options.timings);
  }

  /** Runs one step. `guess` is the time in seconds to expect when no earlier run is known. */
  async step<T>(
    step: { id: string; label: string; guess: number },
    work: (handle: StepHandle) => Promise<T>,
  ): Promise<T> {
    const { id, label } = step;
    const number = ++this.#count;
    const since = performance.now();
    const expected = this.#timings.steps[id] ?? step.guess;
    this.#running.set(id, { label, number, since });
    this.#timings.steps[id] ??= step.guess;
    const announced = setTimeout(() => {
      this.#say(number, `${label} … (about ${duration(expected)})`);
    }, ANNOUNCE_MS);
    this.#startBeat();
    const found = { ready: false };
    const handle: StepHandle = {
      ready: () => {
        found.ready = true;
      },
      note: (text) => {
        this.#say(number, `${label}: ${text}`);
      },
    };
    try {
      const result = await work(handle);
      const seconds = (performance.now() - since) / 1000;
      const { ready } = found;
      this.#done.push({ id, label, seconds, ready });
      if (!ready) this.#timings.steps[id] = seconds;
      this.#say(number, `${label} … ${ready ? "ready" : duration(seconds)}`);
      return result;
    } catch (error) {
      this.#say(number, `${label} … failed after ${duration((performance.now() - since) / 1000)}`);
      throw error;
    } finally {
      clearTimeout(announced);
      this.#running.delete(id);
      if (this.#running.size === 0) this.stop();
    }
  }

  /** Steps that have ended so far. */
  times(): readonly StepTime[] {
    return this.#done;
  }

  /** Seconds since the first step. */
  elapsed(): number {
    return (performance.now() - this.#started) / 1000;
  }

  /** Prints the table of step times and remembers them for the next run. */
  finish(run: { command: string; kind: string }): void {
    this.stop();
    const width = Math.max(...this.#done.map(({ label }) => label.length), 5);
    this.#out.write(`\n${"step".padEnd(width)}  time\n`);
    for (const { label, seconds, ready } of this.#done) {
      this.#out.write(`${label.padEnd(width)}  ${duration(seconds)}${ready ? " (ready)" : ""}\n`);
    }
    const total = this.elapsed();
    this.#out.write(`${"total".padEnd(width)}  ${duration(total)} (${run.kind})\n`);
    const steps = Object.fromEntries(this.#done.map(({ id, seconds }) => [id, round(seconds)]));
    const at = new Date().toISOString();
    this.#timings.runs.push({ ...run, at, seconds: round(total), steps });
    this.#timings.runs = this.#timings.runs.slice(-KEPT_RUNS);
    this.save();
  }

  /** Remembers the durations known so far. */
  save(): void {
    replaceFile(this.#file, `${JSON.stringify(this.#timings, null, 2)}\n`);
  }

  /** Ends the lines that tell about running steps. */
  stop(): void {
    clearInterval(this.#beat);
    this.#beat = undefined;
  }

  #startBeat(): void {
    this.#beat ??= setInterval(() => {
      for (const [id, { label, number, since }] of this.#running) {
        const taken = (performance.now() - since) / 1000;
        const left = (this.#timings.steps[id] ?? 0) - taken;
        const rest = left > 0 ? `about ${duration(left)} left` : "longer than expected";
        this.#say(number, `${label} … ${duration(taken)} (${rest})`);
      }
    }, HEARTBEAT_MS);
  }

  #say(number: number, text: string): void {
    const digits = String(this.#total).length;
    this.#out.write(`[${String(number).padStart(digits)}/${this.#total}] ${text}\n`);
  }
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}

function isTimings(raw: unknown): raw is Timings {
  return typeof raw === "object" && raw !== null && "steps" in raw && "runs" in raw;
}
