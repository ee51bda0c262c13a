import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { outcome, output } from "./commands.ts";
import { debianEnvironment } from "./environment.ts";

/** What a machine shows of its network and settings: sorted lines by subject. */
export type HostSnapshot = Readonly<Record<Subject, readonly string[]>>;

type Subject =
  "packet rules" | "settings" | "routes" | "links" | "mounts" | "listening sockets" | "contexts";

/** Settings that are counters, or that the kernel changes by itself. */
const VOLATILE = [
  /^fs\/(aio-nr|dentry-state|file-nr|inode-nr|inode-state|quota\/)/,
  /^kernel\/(ns_last_pid|perf_event_max_sample_rate|pty\/nr|random\/)/,
  /^net\/netfilter\/nf_conntrack_(count|buckets)/,
];

/** Reads everything of the machine that a platform must leave alone. `debsRoot` has `nft` where the machine has none. */
export async function hostSnapshot(debsRoot: string): Promise<HostSnapshot> {
  const ip = async (...args: string[]): Promise<string[]> => lines(await output("ip", args));
  return {
    "packet rules": await packetRules(debsRoot),
    settings: settings(),
    routes: [...(await ip("route", "show", "table", "all")), ...(await ip("rule"))].sort(),
    links: (await ip("-oneline", "link")).map((line) => line.split(": ")[1] ?? line).sort(),
    mounts: mounts(),
    "listening sockets": listeningSockets(),
    contexts: contexts(),
  };
}

/** What one snapshot has and the other lacks, except what belongs to the link of the given name. */
export function differences(before: HostSnapshot, after: HostSnapshot, link: string): string[] {
  const subjects = Object.keys(before) as Subject[];
  return subjects.flatMap((subject) => {
    const old = new Set(before[subject]);
    const now = new Set(after[subject]);
    const gone = before[subject].filter((line) => !now.has(line)).map((line) => `- ${line}`);
    const come = after[subject].filter((line) => !old.has(line)).map((line) => `+ ${line}`);
    return [...gone, ...come]
      .filter((line) => !line.includes(link))
      .map((line) => `${subject}: ${line}`);
  });
}

async function packetRules(debsRoot: string): Promise<string[]> {
  const { code, stdout, stderr } = await outcome("nft", ["--stateless", "list", "ruleset"], {
    env: debianEnvironment(debsRoot),
  });
  if (code !== 0) throw new Error(`nft list ruleset failed: ${stderr}`);
  const legacy = ["filter", "nat", "mangle", "raw"].map((table) => {
    const file = "/proc/net/ip_tables_names";
    const loaded = existsSync(file) && lines(readFileSync(file, "utf8")).includes(table);
    return loaded ? [`legacy table ${table}`] : [];
  });
  return [...lines(stdout), ...legacy.flat()];
}

function settings(root = "/proc/sys"): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter((name) => !VOLATILE.some((pattern) => pattern.test(name)))
    .flatMap((name) => {
      const value = readable(join(root, name));
      return value === undefined ? [] : [`${name} = ${value}`];
    })
    .sort();
}

/** A setting's value; some can only be written, and some vanish with their link while they are read. */
function readable(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (["EACCES", "EPERM", "EIO", "EINVAL", "ENOENT", "EOPNOTSUPP"].includes(String(code))) {
      return undefined;
    }
    throw error;
  }
}

/** Mount points with type and source; mount numbers differ from time to time. */
function mounts(): string[] {
  return lines(readFileSync("/proc/self/mountinfo", "utf8"))
    .map((line) => {
      const [own = "", rest = ""] = line.split(" - ");
      const [type = "", source = ""] = rest.split(" ");
      return `${own.split(" ")[4] ?? ""} ${type} ${source}`;
    })
    .sort();
}

/** First of the ports that the kernel gives to programs that ask for any. */
const FIRST_ANY_PORT = 32768;

/**
 * TCP and UDP sockets that wait for others, of either address family. Left out are those on the loopback address with a
 * port that the kernel chose: any program on the machine opens and closes such at any time.
 */
function listeningSockets(): string[] {
  const waiting = { tcp: "0A", tcp6: "0A", udp: "07", udp6: "07" };
  return Object.entries(waiting)
    .flatMap(([name, state]) => {
      const file = join("/proc/net", name);
      if (!existsSync(file)) return [];
      return lines(readFileSync(file, "utf8"))
        .map((line) => line.trim().split(/\s+/))
        .filter((fields) => fields[3] === state)
        .map((fields) => fields[1] ?? "")
        .filter((address) => !isPassing(address))
        .map((address) => `${name} ${address}`);
    })
    .sort();
}

function isPassing(address: string): boolean {
  const [ip = "", port = ""] = address.split(":");
  return /^(0100007F|0{24}01000000)$/.test(ip) && parseInt(port, 16) >= FIRST_ANY_PORT;
}

function contexts(): string[] {
  const files = process.env["KUBECONFIG"]?.split(":") ?? [join(homedir(), ".kube", "config")];
  return files.map((file) => {
    if (!existsSync(file)) return `${file} absent`;
    return `${file} ${createHash("sha256").update(readFileSync(file)).digest("hex")}`;
  });
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}
