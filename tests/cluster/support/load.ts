import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Final, until } from "../../../local/cluster/poll.ts";

const LOCUSTFILE = join(__dirname, "locustfile.py");

/** What became of the requests to one model; times are in milliseconds, rounded by locust. */
export interface Figures {
  readonly model: string;
  readonly requests: number;
  readonly failures: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

/** What a load has shown. */
export interface Measured {
  readonly figures: readonly Figures[];
  /** A line for each request that failed. */
  readonly lost: readonly string[];
}

/** A load under way. */
export interface Load {
  /** Ends it once the requests under way are answered. */
  stop(): Promise<Measured>;
}

/** Who asks, and how often. */
export interface Clients {
  /** The models that are asked, each by as many clients as the others. */
  readonly models: readonly string[];
  readonly users: number;
  /** Seconds from a client's request to its next one, at least. */
  readonly pace: number;
}

interface Entry {
  readonly name: string;
  readonly num_requests: number;
  readonly num_failures: number;
  readonly max_response_time: number;
  /** Number of requests by milliseconds. */
  readonly response_times: Readonly<Record<string, number>>;
}

function percentile({ response_times, num_requests }: Entry, share: number): number {
  const times = Object.entries(response_times).map(
    ([time, count]) => [Number(time), count] as const,
  );
  let seen = 0;
  for (const [time, count] of times.sort(([a], [b]) => a - b)) {
    seen += count;
    if (seen >= share * num_requests) return time;
  }
  return NaN;
}

const figuresOf = (entry: Entry): Figures => ({
  model: entry.name,
  requests: entry.num_requests,
  failures: entry.num_failures,
  p50: percentile(entry, 0.5),
  p95: percentile(entry, 0.95),
  max: Math.round(entry.max_response_time),
});

/**
 * Starts locust and waits until all clients are there.
 *
 * @param options.address - the front door, without `/v1`.
 * @param options.report - file that locust writes its figures to, without `.json`.
 */
export async function startLoad(
  options: Clients & { readonly address: string; readonly key: string; readonly report: string },
): Promise<Load> {
  const { address, key, models, report, pace } = options;
  const count = String(options.users);
  const users = ["--users", count, "--spawn-rate", count, "--stop-timeout", "60"];
  const args = ["--headless", "--only-summary", "--exit-code-on-error", "0", ...users];
  const locust = spawn(
    "locust",
    [...args, "--locustfile", LOCUSTFILE, "--host", address, "--json-file", report],
    {
      env: {
        ...process.env,
        LLMOPS_LOAD_KEY: key,
        LLMOPS_LOAD_MODELS: models.join(","),
        LLMOPS_LOAD_PACE: String(pace),
      },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let log = "";
  locust.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const ended = once(locust, "close") as Promise<[number | null]>;
  const stop = async (): Promise<Measured> => {
    locust.kill("SIGTERM");
    const [code] = await ended;
    // What a client raises by itself is in no figure.
    if (code !== 0 || log.includes("locust.user")) {
      throw new Error(`locust ended with ${String(code)}:\n${log.slice(-4000)}`);
    }
    const entries = JSON.parse(readFileSync(`${report}.json`, "utf8")) as Entry[];
    const lost = log.split("\n").filter((line) => line.includes("lost request"));
    return { figures: entries.map(figuresOf), lost };
  };
  await until("all of locust's users", 60, () => {
    if (locust.exitCode !== null) throw new Final(`locust ended:\n${log.slice(-4000)}`);
    return log.includes("All users spawned") ? true : undefined;
  });
  return { stop };
}

function table(head: string, align: string, rows: readonly string[]): string {
  return [head, align, ...rows].map((line) => `| ${line} |\n`).join("");
}

/** What the clients saw, as a table in Markdown. */
export function lossTable(phases: ReadonlyMap<string, Measured>): string {
  const rows = [...phases].flatMap(([phase, { figures }]) =>
    figures.map(({ model, requests, failures, p50, p95, max }) =>
      [phase, model, requests, failures, p50, p95, max].join(" | "),
    ),
  );
  return table(
    "while | model | requests | lost | p50 ms | p95 ms | longest ms",
    "--- | --- | --: | --: | --: | --: | --:",
    rows,
  );
}

/** Two times that are told beside each other, in seconds. */
export interface Comparison {
  readonly measure: string;
  readonly ours: number;
  readonly against: string;
  /** Left out where it was not over when the test stopped waiting, or its beginning was not seen. */
  readonly theirs: number | undefined;
  /** Largest ratio that is good. */
  readonly target?: number;
}

/** Times as a table in Markdown, like those of `bench/README.md`. */
export function timeTable(comparisons: readonly Comparison[]): string {
  const seconds = (value: number): string => `${value.toFixed(1)} s`;
  const rows = comparisons.map(({ measure, ours, against, theirs, target }) => {
    const ratio = theirs === undefined ? undefined : ours / theirs;
    return [
      measure,
      seconds(ours),
      theirs === undefined ? `${against}: not seen` : `${against} ${seconds(theirs)}`,
      ratio?.toFixed(2) ?? "",
      target === undefined ? "" : `≤ ${String(target)}`,
      target === undefined || ratio === undefined ? "" : ratio <= target ? "ok" : "short",
    ].join(" | ");
  });
  return table(
    "measure | ours | against | ratio | target | ok",
    "--- | --- | --- | --- | --- | ---",
    rows,
  );
}
