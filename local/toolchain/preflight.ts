import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { availableParallelism, freemem, totalmem } from "node:os";

import { freeDisk } from "./disk.ts";
import { tryRun } from "./run.ts";

/** Something that keeps the platform from starting, and what to do about it. */
export interface Fault {
  readonly what: string;
  readonly remedy: string;
}

/** What the machine must have. */
export interface Needs {
  /** Free disk space, in GiB, at the folder that will hold it. */
  readonly disk: readonly { folder: string; gib: number }[];
  /** Memory of the machine, in GiB. */
  readonly memoryGib: number;
  /** Memory that must be free now, in GiB. */
  readonly freeMemoryGib: number;
  /** Processor cores. */
  readonly cores: number;
  /** Whether Go tools have to be built. */
  readonly go: boolean;
}

const GIB = 1024 ** 3;
const LINK_NETWORK = "10.201.0.0/16";

const elsewhere =
  "or use a Docker engine and a cluster that you already have: make local CONTEXT=<kube context>";

const commands: Record<string, string> = {
  python3: "install python3",
  git: "install git",
  openssl: "install openssl",
  unshare: "install util-linux",
  flock: "install util-linux",
  nsenter: "install util-linux",
  ip: "install iproute2",
  "apt-get": "use Debian 12 or a relative of it",
  "dpkg-deb": "use Debian 12 or a relative of it",
  tar: "install tar",
};

/** All faults of this machine at once; an empty list where the platform can start. */
export async function preflight(needs: Needs): Promise<Fault[]> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    const what = `the local platform needs Linux on x86-64; this is ${process.platform} on ${process.arch}`;
    return [{ what, remedy: `use a Linux machine, ${elsewhere}` }];
  }
  const faults = [
    ...rootFaults(),
    ...commandFaults(),
    ...(needs.go ? await goFaults() : []),
    ...sizeFaults(needs),
    ...cgroupFaults(),
    ...(await networkFaults()),
  ];
  return faults;
}

/** The faults as one text for the user. */
export function renderFaults(faults: readonly Fault[]): string {
  const lines = faults.map(({ what, remedy }) => `  - ${what}\n    what to do: ${remedy}`);
  const count = faults.length === 1 ? "one thing is" : `${faults.length} things are`;
  return [`This machine cannot run the platform yet: ${count} missing.`, ...lines].join("\n");
}

/** Faults in disk space, memory and cores. */
export function sizeFaults(
  needs: Needs,
  machine: {
    freeDisk: (folder: string) => number;
    memory: number;
    freeMemory: number;
    cores: number;
  } = {
    freeDisk,
    memory: totalmem(),
    freeMemory: availableMemory(),
    cores: availableParallelism(),
  },
): Fault[] {
  const faults: Fault[] = [];
  for (const { folder, gib } of needs.disk) {
    const free = machine.freeDisk(folder);
    if (free >= gib) continue;
    const what = `${folder} has ${free.toFixed(1)} GiB of free disk space, ${gib} GiB are needed`;
    const remedy = "free disk space, or point XDG_CACHE_HOME at a folder on a larger disk";
    faults.push({ what, remedy });
  }
  const memory = machine.memory / GIB;
  const freeMemory = machine.freeMemory / GIB;
  if (memory < needs.memoryGib) {
    const what = `the machine has ${memory.toFixed(1)} GiB of memory, ${needs.memoryGib} GiB are needed`;
    faults.push({ what, remedy: `use a larger machine, ${elsewhere}` });
  } else if (freeMemory < needs.freeMemoryGib) {
    const what = `${freeMemory.toFixed(1)} GiB of memory are available, ${needs.freeMemoryGib} GiB are needed`;
    faults.push({
      what,
      remedy: "end other programs, or another checkout's platform (make local-down there)",
    });
  }
  if (machine.cores < needs.cores) {
    const what = `the machine has ${machine.cores} processor core(s), ${needs.cores} are needed`;
    faults.push({ what, remedy: `use a larger machine, ${elsewhere}` });
  }
  return faults;
}

/** Whether a Go release is at least the wanted one ("go1.26.8" against 1.24). */
export function goIsEnough(version: string, wanted: readonly [number, number]): boolean {
  const match = /^go(\d+)\.(\d+)/.exec(version);
  if (match === null) return false;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  return major > wanted[0] || (major === wanted[0] && minor >= wanted[1]);
}

function rootFaults(): Fault[] {
  if (process.getuid?.() === 0) return [];
  const what =
    "the local platform makes namespaces, mounts and one network link: it must run as root";
  return [{ what, remedy: `run make local as root (sudo -E make local), ${elsewhere}` }];
}

function commandFaults(): Fault[] {
  const path = process.env["PATH"]?.split(":") ?? [];
  return Object.entries(commands)
    .filter(([command]) => !path.some((folder) => isProgram(`${folder}/${command}`)))
    .map(([command, remedy]) => ({ what: `the command ${command} is missing`, remedy }));
}

async function goFaults(): Promise<Fault[]> {
  const version = (await tryRun("go", ["env", "GOVERSION"])) ?? "";
  if (goIsEnough(version, [1, 24])) return [];
  const what = version === "" ? "Go is missing" : `Go is ${version}, too old`;
  return [{ what, remedy: "install Go 1.24 or newer and put it on PATH" }];
}

function cgroupFaults(): Fault[] {
  const root = "/sys/fs/cgroup";
  const remedy = `mount the cgroup file system read-write at ${root} with the controllers cpu, memory and pids, ${elsewhere}`;
  const unified = `${root}/cgroup.controllers`;
  if (existsSync(unified)) {
    const controllers = readFileSync(unified, "utf8").split(/\s+/);
    const missing = ["cpu", "memory", "pids"].filter((name) => !controllers.includes(name));
    return missing.length === 0
      ? []
      : [{ what: `cgroup controllers are missing: ${missing.join(", ")}`, remedy }];
  }
  const missing = ["cpu", "memory", "pids", "devices", "freezer"].filter(
    (name) => !isWritable(`${root}/${name}`),
  );
  if (missing.length === 0) return [];
  return [{ what: `cgroup controllers are missing or read-only: ${missing.join(", ")}`, remedy }];
}

async function networkFaults(): Promise<Fault[]> {
  const faults: Fault[] = [];
  const makesLinks = await tryRun("unshare", [
    ...["--net", "--mount", "--pid", "--fork", "ip", "link", "add", "probe0", "type", "veth"],
    ...["peer", "name", "probe1"],
  ]);
  if (makesLinks === undefined) {
    const what = "this kernel or container does not let root make namespaces and veth links";
    faults.push({
      what,
      remedy: `run on a machine or a privileged container that does, ${elsewhere}`,
    });
  }
  const routes = (await tryRun("ip", ["-4", "route", "show", "root", LINK_NETWORK])) ?? "";
  const foreign = routes.split("\n").filter((line) => line !== "" && !line.includes("llmops-"));
  if (foreign.some((line) => line.startsWith(LINK_NETWORK))) {
    const what = `the network ${LINK_NETWORK} is routed elsewhere: ${foreign.join("; ")}`;
    faults.push({ what, remedy: `remove that route, ${elsewhere}` });
  }
  return faults;
}

function availableMemory(): number {
  const file = "/proc/meminfo";
  if (!existsSync(file)) return freemem();
  const kib = /^MemAvailable:\s+(\d+)/m.exec(readFileSync(file, "utf8"))?.[1];
  return kib === undefined ? freemem() : Number(kib) * 1024;
}

function isProgram(file: string): boolean {
  return allows(file, constants.X_OK);
}

function isWritable(file: string): boolean {
  return allows(file, constants.W_OK);
}

function allows(file: string, mode: number): boolean {
  try {
    accessSync(file, mode);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error) return false;
    throw error;
  }
}
