import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { replaceFile } from "../files.ts";
import { withLock } from "./lock.ts";
import { cacheRoot } from "./paths.ts";
import { run } from "./run.ts";

/** Debian packages unpacked beside the system: nothing is installed. */
export interface DebianRoot {
  /** Folder with `usr/bin`, `usr/sbin`, `lib`… */
  readonly root: string;
  /** `name=version` of every package in it. */
  readonly packages: readonly string[];
  /** Folders for PATH. */
  readonly path: readonly string[];
  /** Folders for LD_LIBRARY_PATH: libraries that this system has not installed. */
  readonly libraryPath: readonly string[];
  /** Whether this call unpacked it. */
  readonly fetched: boolean;
}

const MAX_AGE_DAYS = 7;

/**
 * Fetches Debian packages, with the dependencies that this system lacks, and unpacks them into the cache. Apt's own
 * lists stay as they are: the lists used here are in the cache too, renewed weekly.
 */
export async function ensureDebs(
  list: readonly string[],
  options: { logs: string; signal?: AbortSignal },
): Promise<DebianRoot> {
  const home = join(cacheRoot(), "debs");
  const names = [...new Set(list)].sort();
  const pointer = join(home, `resolved-${digest(names)}.json`);
  return withLock(join(cacheRoot(), "locks", "debs"), async () => {
    const known = readPointer(pointer);
    if (known !== undefined) return describe(known.root, known.packages, false);
    await mkdir(join(home, "lists", "partial"), { recursive: true });
    await mkdir(join(home, "archives", "partial"), { recursive: true });
    const apt = aptRunner(home, options);
    if (listsAreStale(join(home, "lists"))) await apt.update();
    const packages = await apt.resolve(names);
    const root = join(home, digest(packages), "root");
    if (!existsSync(root)) await unpack(packages, root, apt, options);
    replaceFile(pointer, JSON.stringify({ root, packages }));
    return describe(root, packages, true);
  });
}

/** The packages that apt would unpack, from the output of `apt-get --simulate install`. */
export function parseSimulation(output: string): string[] {
  const found = [...output.matchAll(/^Inst (\S+) (?:\[[^\]]*\] )?\((\S+) /gm)];
  return found.map(([, name, version]) => `${name ?? ""}=${version ?? ""}`).sort();
}

interface Apt {
  update(): Promise<void>;
  resolve(names: readonly string[]): Promise<string[]>;
  download(packages: readonly string[], folder: string): Promise<void>;
}

function aptRunner(home: string, options: { logs: string; signal?: AbortSignal }): Apt {
  const own = [
    ["Dir::State::lists", join(home, "lists")],
    ["Dir::Cache::archives", join(home, "archives")],
    ["APT::Sandbox::User", "root"],
    ["Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false"],
  ].flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  const apt = (args: string[], what: string, cwd?: string): Promise<string> =>
    run("apt-get", [...own, ...args], {
      what,
      remedy:
        "check that this machine's apt sources can be reached (apt-get update), then run the same command again",
      log: join(options.logs, "debs.log"),
      env: { ...process.env, LC_ALL: "C.UTF-8" },
      ...(cwd === undefined ? {} : { cwd }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  return {
    update: async () => {
      await apt(["update"], "fetching Debian's package lists");
    },
    resolve: async (names) => {
      const args = ["--simulate", "--reinstall", "--no-install-recommends", "install", ...names];
      return parseSimulation(await apt(args, "resolving Debian packages"));
    },
    download: async (packages, folder) => {
      await apt(["download", ...packages], "fetching Debian packages", folder);
    },
  };
}

async function unpack(
  packages: readonly string[],
  root: string,
  apt: Apt,
  options: { logs: string; signal?: AbortSignal },
): Promise<void> {
  const folder = join(root, "..");
  await mkdir(join(folder, ".."), { recursive: true });
  const fresh = await mkdtemp(`${folder}.partial-`);
  try {
    await mkdir(join(fresh, "root"));
    await apt.download(packages, fresh);
    const files = (await readdir(fresh)).filter((file) => file.endsWith(".deb"));
    for (const file of files) {
      await run("dpkg-deb", ["--extract", join(fresh, file), join(fresh, "root")], {
        what: `unpacking ${file}`,
        log: join(options.logs, "debs.log"),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      await rm(join(fresh, file));
    }
    await rename(fresh, folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

function describe(root: string, packages: readonly string[], fetched: boolean): DebianRoot {
  const at = (folders: string[]): string[] => folders.map((folder) => join(root, folder));
  return {
    root,
    packages,
    path: at(["usr/sbin", "usr/bin", "sbin", "bin"]),
    libraryPath: at(["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]),
    fetched,
  };
}

function readPointer(file: string): { root: string; packages: string[] } | undefined {
  if (!existsSync(file)) return undefined;
  const raw: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (typeof raw !== "object" || raw === null || !("root" in raw) || !("packages" in raw)) {
    return undefined;
  }
  const { root, packages } = raw;
  if (typeof root !== "string" || !Array.isArray(packages) || !existsSync(root)) return undefined;
  return { root, packages: packages.map(String) };
}

function listsAreStale(folder: string): boolean {
  const times = readdirSync(folder)
    .filter((file) => file.includes("_Packages"))
    .map((file) => statSync(join(folder, file)).ctimeMs);
  return times.length === 0 || Date.now() - Math.min(...times) > MAX_AGE_DAYS * 24 * 3600 * 1000;
}

function digest(words: readonly string[]): string {
  return createHash("sha256").update(words.join("\n")).digest("hex").slice(0, 12);
}
