import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";

import { differences, hostSnapshot } from "../cluster/hostSnapshot.ts";
import { makeContext } from "./context.ts";
import { buildTools } from "./parts.ts";
import { duration } from "../progress.ts";
import { instanceId } from "../toolchain/paths.ts";
import { ensureTestPython } from "../toolchain/testPython.ts";
import { ensureTestServers } from "../toolchain/testServers.ts";

/** Passed and failed tests of a level. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
}

interface Result extends Counts {
  readonly level: string;
  readonly seconds: number;
}

interface Context {
  readonly checkout: string;
  readonly scratch: string;
}

const crashed: Counts = { passed: 0, failed: 1 };

const unitFolders = ["unit", "component", "stack", "local"];

/** The levels of the tests, in the order in which they are run. */
export const levels = {
  lint: (context: Context) => lint(context),
  unit: (context: Context) => jest(context, unitFolders),
  images: (context: Context) => images(context),
  engine: (context: Context) => engine(context),
  cluster: (context: Context) => cluster(context),
} as const;

/** Name of a level. */
export type Level = keyof typeof levels;

/** Whether a word names a level. */
export function isLevel(word: string): word is Level {
  return Object.hasOwn(levels, word);
}

/** Runs test levels, prints a table and the closing line; gives the exit code. */
export async function test(checkout: string, wanted: readonly Level[]): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), "llmops-test-"));
  const results: Result[] = [];
  try {
    for (const level of wanted) {
      process.stdout.write(`\n== ${level}\n`);
      const since = performance.now();
      const counts = await levels[level]({ checkout, scratch });
      results.push({ level, ...counts, seconds: (performance.now() - since) / 1000 });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  process.stdout.write(`\n${renderResults(results)}\n`);
  return results.some(({ failed }) => failed > 0) ? 1 : 0;
}

/** The table of the levels and, last, the line that adds them up. */
export function renderResults(results: readonly Result[]): string {
  const row = (cells: readonly string[]): string =>
    cells.map((cell, index) => (index === 0 ? cell.padEnd(10) : cell.padStart(8))).join("");
  const lines = results.map(({ level, passed, failed, seconds }) =>
    row([level, String(passed), String(failed), duration(seconds)]),
  );
  const sum = (pick: (result: Result) => number): number =>
    results.reduce((total, result) => total + pick(result), 0);
  return [
    row(["level", "passed", "failed", "time"]),
    ...lines,
    `${sum(({ passed }) => passed)} passed, ${sum(({ failed }) => failed)} failed`,
  ].join("\n");
}

/** Counts in jest's JSON report. A test file that could not be loaded counts as one failed test. */
export function jestCounts(report: string): Counts {
  const raw: unknown = JSON.parse(report);
  const fields = new Map<string, unknown>(
    typeof raw === "object" && raw !== null ? Object.entries(raw) : [],
  );
  const count = (key: string): number => {
    const value = fields.get(key);
    return typeof value === "number" ? value : 0;
  };
  const failed = count("numFailedTests") + count("numRuntimeErrorTestSuites");
  return { passed: count("numPassedTests"), failed };
}

/** Counts in pytest's JUnit report. */
export function junitCounts(report: string): Counts {
  let passed = 0;
  let failed = 0;
  for (const [suite] of report.matchAll(/<testsuite\s[^>]*>/g)) {
    const count = (key: string): number =>
      Number(new RegExp(`\\s${key}="(\\d+)"`).exec(suite)?.[1] ?? 0);
    const bad = count("failures") + count("errors");
    failed += bad;
    passed += count("tests") - bad - count("skipped");
  }
  return { passed, failed };
}

async function lint({ checkout }: Context): Promise<Counts> {
  const bin = (name: string): string => join(checkout, "node_modules", ".bin", name);
  const checks: [string, ...string[]][] = [
    [bin("tsc"), "--noEmit"],
    [bin("tsc"), "-p", "local"],
    [bin("tsc"), "-p", "bench"],
    [bin("tsc"), "--noEmit", "-p", "tests"],
    [bin("eslint"), "--max-warnings=0", "."],
    [bin("prettier"), "--check", "--log-level=warn", "."],
    [bin("depcruise"), "--config", ".dependency-cruiser.cjs", "--output-type=err", "."],
    [bin("knip")],
    [await actionlint(checkout)],
  ];
  let passed = 0;
  for (const [command, ...args] of checks) {
    if ((await start({ checkout, command, args })) === 0) passed += 1;
  }
  return { passed, failed: checks.length - passed };
}

/** The checker of `.github/workflows`, built the first time. */
async function actionlint(checkout: string): Promise<string> {
  const { tools, folders } = makeContext(checkout);
  mkdirSync(folders.logs, { recursive: true });
  return join((await tools.ensure("actionlint")).bin, "actionlint");
}

async function jest(
  { checkout, scratch }: Context,
  folders: readonly string[],
  path: readonly string[] = [],
  more: readonly string[] = [],
): Promise<Counts> {
  const report = join(scratch, `jest-${folders[0] ?? ""}.json`);
  const paths = folders
    .map((folder) => join("tests", folder))
    .filter((folder) => existsSync(join(checkout, folder)));
  const command = join(checkout, "node_modules", ".bin", "jest");
  const args = ["--json", `--outputFile=${report}`, "--silent=false", ...more, ...paths];
  const code = await start({ checkout, command, args, path, quiet: true });
  return reported(report, code, jestCounts);
}

/** Folders for PATH with the servers that tests start; nginx and Postgres, of more than one file, by a variable. */
async function serverPath(checkout: string): Promise<readonly string[]> {
  const { tools, folders } = makeContext(checkout);
  mkdirSync(folders.logs, { recursive: true });
  const { debsRoot, bins } = await ensureTestServers({ tools, logs: folders.logs });
  process.env["LLMOPS_SERVERS_ROOT"] = debsRoot;
  return [dirname(await ensureTestPython(checkout)), ...bins];
}

/** The images' entry code in Python, the downloader with real servers, and Dockerfiles and locks. */
async function images(context: Context): Promise<Counts> {
  const { checkout, scratch } = context;
  const report = join(scratch, "pytest.xml");
  const python = await ensureTestPython(checkout);
  const args = ["-m", "pytest", "-q", "--import-mode=importlib", `--junitxml=${report}`, "images"];
  const code = await start({ checkout, command: python, args });
  const entry = reported(report, code, junitCounts);
  // Servers get ports that are free; one file at a time, so that none takes what another was given.
  const files = await jest(context, ["images"], await serverPath(checkout), ["--runInBand"]);
  return { passed: entry.passed + files.passed, failed: entry.failed + files.failed };
}

/** The stand-ins and the program under the real engine, with the tools that the tests need. */
async function engine(context: Context): Promise<Counts> {
  const { debsRoot, bins } = await buildTools(makeContext(context.checkout));
  process.env["LLMOPS_DEBS_ROOT"] = debsRoot;
  return jest(context, ["standins", "engine"], bins);
}

/**
 * The platform from nothing to the answer counts as a test, and so does taking it away, and that the machine is the
 * same during and after as before.
 */
async function cluster(context: Context): Promise<Counts> {
  const self = (command: string): Promise<number> =>
    start({
      checkout: context.checkout,
      command: process.execPath,
      args: ["--disable-warning=ExperimentalWarning", join("local", "main.ts"), command],
    });
  const path = await serverPath(context.checkout);
  const { debsRoot } = await buildTools(makeContext(context.checkout));
  const link = `llmops-${instanceId(context.checkout)}`;
  const before = await hostSnapshot(debsRoot);
  const unchanged = async (): Promise<boolean> => {
    const changes = differences(before, await hostSnapshot(debsRoot), link);
    for (const change of changes) process.stderr.write(`the machine has changed: ${change}\n`);
    return changes.length === 0;
  };
  const up = (await self("up")) === 0;
  const aloneDuring = await unchanged();
  // There is one platform: its test files take turns.
  const counts = up ? await jest(context, ["cluster"], path, ["--runInBand"]) : crashed;
  const down = (await self("down")) === 0;
  const aloneAfter = await unchanged();
  const own = [up, aloneDuring, down, aloneAfter];
  const passed = own.filter(Boolean).length;
  return { passed: counts.passed + passed, failed: counts.failed + own.length - passed };
}

function reported(file: string, code: number, count: (report: string) => Counts): Counts {
  if (!existsSync(file)) return crashed;
  const counts = count(readFileSync(file, "utf8"));
  const silent = counts.failed === 0 && (code !== 0 || counts.passed === 0);
  return silent ? { ...counts, failed: 1 } : counts;
}

async function start(program: {
  checkout: string;
  command: string;
  args: readonly string[];
  /** Folders to put on PATH before all others. */
  path?: readonly string[];
  /** Whether standard output, which a report repeats, is dropped. */
  quiet?: boolean;
}): Promise<number> {
  const { checkout, command, args, path = [], quiet = false } = program;
  const folders = [...path, join(checkout, "node_modules", ".bin"), process.env["PATH"] ?? ""];
  const child = spawn(command, args, {
    cwd: checkout,
    env: { ...process.env, PATH: folders.join(delimiter) },
    stdio: ["ignore", quiet ? "ignore" : "inherit", "inherit"],
  });
  return new Promise((done) => {
    child.on("error", (error) => {
      process.stderr.write(`${command}: ${error.message}\n`);
      done(127);
    });
    child.on("close", (code) => {
      done(code ?? 1);
    });
  });
}
