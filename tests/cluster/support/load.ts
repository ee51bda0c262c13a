import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Final, until } from "../../../local/cluster/poll.ts";

const LOCUSTFILE = join(__dirname, "locustfile.py");
const USERS = 4;

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
 * Starts locust with four clients, which ask the models in turns, and waits until all are there.
 *
 * @param options.address - the front door, without `/v1`.
 * @param options.report - file that locust writes its figures to, without `.json`.
 */
export async function startLoad(options: {
  readonly address: string;
  readonly key: string;
  readonly models: readonly string[];
  readonly report: string;
}): Promise<Load> {
  const { address, key, models, report } = options;
  const users = ["--users", String(USERS), "--spawn-rate", String(USERS), "--stop-timeout", "60"];
  const args = ["--headless", "--only-summary", "--exit-code-on-error", "0", ...users];
  const locust = spawn(
    "locust",
    [...args, "--locustfile", LOCUSTFILE, "--host", address, "--json-file", report],
    {
      env: { ...process.env, LLMOPS_LOAD_KEY: key, LLMOPS_LOAD_MODELS: models.join(",") },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let log = "";
  locust.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const ended = once(locust, "close") as Promise<[number | null]>;
  const stop = async (): Promise<Measured> => {
    locust.kill("SIGTERM");
    const [code] = await ended;
    if (code !== 0) throw new Error(`locust ended with ${String(code)}:\n${log.slice(-4000)}`);
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

/** What the clients saw, as a table in Markdown. */
export function table(phases: ReadonlyMap<string, Measured>): string {
  const rows = [...phases].flatMap(([phase, { figures }]) =>
    figures.map(({ model, requests, failures, p50, p95, max }) =>
      [phase, model, requests, failures, p50, p95, max].join(" | "),
    ),
  );
  const head = ["while | model | requests | lost | p50 ms | p95 ms | longest ms"];
  const lines = [...head, "--- | --- | --: | --: | --: | --: | --:", ...rows];
  return lines.map((line) => `| ${line} |\n`).join("");
}
