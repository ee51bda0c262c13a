import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import { parseSources, renderSources } from "./aptSources.ts";
import type { AptSource } from "./aptSources.ts";
import type { DebianRoot } from "./debs.ts";
import { withLock } from "./lock.ts";
import { cacheRoot } from "./paths.ts";
import { run, tryRun } from "./run.ts";

/** The image that the local stack's images start from. */
export const baseImageName = "llmops/debian:12";

const RELEASE = "bookworm";
const CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";
const CA_FOLDER = "/usr/local/share/ca-certificates";
const RECIPE_VERSION = "1";

/** What of this machine the base image takes over, so that builds on it reach the same package indexes. */
export interface MachineSettings {
  readonly sources: readonly AptSource[];
  /** `/etc/pip.conf` of the image. */
  readonly pip: string;
  /** `/etc/uv/uv.toml` of the image. */
  readonly uv: string;
  /** Certificate authorities added to this machine by its administrator. */
  readonly authorities: readonly string[];
}

/** Reads this machine's package settings. */
export async function machineSettings(): Promise<MachineSettings> {
  const python = ["-m", "pip", "config", "list"];
  const listed = (await tryRun("python3", python, { what: "reading pip's settings" })) ?? "";
  const settings = pipSettings(listed);
  return {
    sources: parseSources(readAptFiles(), RELEASE),
    pip: renderPip(settings),
    uv: renderUv(settings),
    authorities: existsSync(CA_FOLDER)
      ? readdirSync(CA_FOLDER)
          .filter((file) => file.endsWith(".crt"))
          .sort()
          .map((file) => join(CA_FOLDER, file))
      : [],
  };
}

/** Debian 12 as a root file system, made once by debootstrap and kept in the cache. */
export async function ensureBaseRootfs(
  debs: DebianRoot,
  settings: MachineSettings,
  options: { logs: string; signal?: AbortSignal },
): Promise<{ tarball: string; key: string; built: boolean }> {
  const key = settingsKey(settings);
  const tarball = join(cacheRoot(), "base", `${RELEASE}-${key}.tar`);
  if (existsSync(tarball)) return { tarball, key, built: false };
  return withLock(join(cacheRoot(), "locks", "base"), async () => {
    if (existsSync(tarball)) return { tarball, key, built: false };
    await mkdir(join(cacheRoot(), "base"), { recursive: true });
    const fresh = await mkdtemp(join(cacheRoot(), "base", "partial-"));
    try {
      await bootstrap(debs, settings, join(fresh, "rootfs"), options);
      await pack(join(fresh, "rootfs"), join(fresh, "base.tar"), options);
      await rename(join(fresh, "base.tar"), tarball);
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
    return { tarball, key, built: true };
  });
}

/** Gives the Docker engine the base image, unless it holds this very one. */
export async function importBaseImage(
  docker: { command: string; env: NodeJS.ProcessEnv },
  base: { tarball: string; key: string },
  options: { logs: string; signal?: AbortSignal },
): Promise<{ imported: boolean }> {
  const format = '{{ index .Config.Labels "org.opencontainers.image.version" }}';
  const version = `12-${base.key}`;
  const held = await tryRun(
    docker.command,
    ["image", "inspect", "--format", format, baseImageName],
    { env: docker.env },
  );
  if (held === version) return { imported: false };
  const changes = [
    `LABEL org.opencontainers.image.version=${version}`,
    `ENV SSL_CERT_FILE=${CA_BUNDLE}`,
    'CMD ["bash"]',
  ].flatMap((change) => ["--change", change]);
  await run(docker.command, ["import", ...changes, base.tarball, baseImageName], {
    what: `importing the base image ${baseImageName}`,
    env: docker.env,
    log: join(options.logs, "base-image.log"),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return { imported: true };
}

/** Removes what no tag names any more, such as images that a later build has replaced: they would fill the disk. */
export async function dropReplacedImages(
  docker: { command: string; env: NodeJS.ProcessEnv },
  options: { logs: string; signal?: AbortSignal },
): Promise<void> {
  await run(docker.command, ["image", "prune", "--force"], {
    what: "removing replaced images",
    env: docker.env,
    log: join(options.logs, "base-image.log"),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

/** The pip settings that mean something inside an image: where packages come from, and how long to wait. */
export function pipSettings(listed: string): Map<string, string> {
  const kept = ["index-url", "extra-index-url", "trusted-host", "timeout", "default-timeout"];
  const found = new Map<string, string>();
  for (const [, name, value] of listed.matchAll(/^[^\s=]*?\.([a-z-]+)='(.*)'$/gm)) {
    if (name === undefined || value === undefined || !kept.includes(name)) continue;
    found.set(name === "default-timeout" ? "timeout" : name, value.replaceAll("\\n", " ").trim());
  }
  return found;
}

function renderPip(settings: Map<string, string>): string {
  const lines = [...settings].map(([name, value]) => `${name} = ${value}`);
  return ["[global]", `cert = ${CA_BUNDLE}`, "disable-pip-version-check = true", ...lines, ""].join(
    "\n",
  );
}

function renderUv(settings: Map<string, string>): string {
  const lines = ["native-tls = true"];
  const main = settings.get("index-url");
  const extra = settings.get("extra-index-url")?.split(/\s+/) ?? [];
  for (const url of extra) lines.push("", "[[index]]", `url = ${JSON.stringify(url)}`);
  if (main !== undefined) {
    lines.push("", "[[index]]", `url = ${JSON.stringify(main)}`, "default = true");
  }
  return `${lines.join("\n")}\n`;
}

function settingsKey(settings: MachineSettings): string {
  const hash = createHash("sha256").update(RECIPE_VERSION);
  hash.update(renderSources(settings.sources)).update(settings.pip).update(settings.uv);
  for (const file of settings.authorities) hash.update(readFileSync(file));
  return hash.digest("hex").slice(0, 12);
}

async function bootstrap(
  debs: DebianRoot,
  settings: MachineSettings,
  rootfs: string,
  options: { logs: string; signal?: AbortSignal },
): Promise<void> {
  const main = settings.sources.find((source) => source.suite === RELEASE);
  if (main === undefined) {
    throw new Error(
      `This machine's apt sources name no mirror of Debian 12 (${RELEASE}), which the base image is made from.\n` +
        `  what to do: add a source with the suite "${RELEASE}", or use a cluster of your own (make local CONTEXT=<name>).`,
    );
  }
  const log = join(options.logs, "base-image.log");
  const common = { log, ...(options.signal === undefined ? {} : { signal: options.signal }) };
  const args = ["--variant=minbase", "--include=ca-certificates", RELEASE, rootfs, main.uri];
  const keyring = existsSync(main.signedBy) ? [`--keyring=${main.signedBy}`] : [];
  await run(join(debs.root, "usr/sbin/debootstrap"), [...keyring, ...args], {
    ...common,
    what: "making the Debian 12 base image",
    remedy: "check that this machine's apt mirror can be reached, then run the same command again",
    env: {
      ...process.env,
      DEBOOTSTRAP_DIR: join(debs.root, "usr/share/debootstrap"),
      TMPDIR: "/tmp",
    },
  });
  await rm(join(rootfs, "etc/apt/sources.list"), { force: true });
  await writeFile(join(rootfs, "etc/apt/sources.list"), renderSources(settings.sources));
  await writeFile(join(rootfs, "etc/pip.conf"), settings.pip);
  await mkdir(join(rootfs, "etc/uv"), { recursive: true });
  await writeFile(join(rootfs, "etc/uv/uv.toml"), settings.uv);
  for (const file of settings.authorities) {
    await copyFile(file, join(rootfs, CA_FOLDER, basename(file)));
  }
  if (settings.authorities.length > 0) {
    await run("chroot", [rootfs, "update-ca-certificates"], {
      ...common,
      what: "adding this machine's certificate authorities to the base image",
    });
  }
}

async function pack(
  rootfs: string,
  tarball: string,
  options: { logs: string; signal?: AbortSignal },
): Promise<void> {
  const left = ["var/cache/apt", "var/lib/apt/lists", "var/log", "proc", "sys", "dev"];
  const excluded = left.map((folder) => `--exclude=./${folder}/*`);
  const same = ["--sort=name", "--numeric-owner", "--mtime=@0", "--one-file-system"];
  await run("tar", ["-C", rootfs, ...same, ...excluded, "-cf", tarball, "."], {
    what: "packing the base image",
    log: join(options.logs, "base-image.log"),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

function readAptFiles(): string[] {
  const folder = "/etc/apt/sources.list.d";
  const listed = existsSync(folder) ? readdirSync(folder).sort() : [];
  const files = ["/etc/apt/sources.list", ...listed.map((file) => join(folder, file))];
  return files
    .filter((file) => /\.(list|sources)$/.test(file) && existsSync(file))
    .map((file) => readFileSync(file, "utf8"));
}
