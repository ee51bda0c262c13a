import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ROOT } from "../program";

/** Files by path. */
export type Files = Readonly<Record<string, Buffer>>;

const SHARDS = 2;

/** A model of random weights, `bytes` in each of two shards. */
export function makeModel(bytes: number): Files {
  const shard = (index: number): string => `model-0000${index + 1}-of-0000${SHARDS}.safetensors`;
  const names = Array.from({ length: SHARDS }, (_, index) => shard(index));
  const map = Object.fromEntries(names.map((name, index) => [`layer.${index}`, name]));
  return {
    "config.json": Buffer.from('{"architectures": ["Tiny"]}'),
    "tokenizer.json": Buffer.from("{}"),
    "model.safetensors.index.json": Buffer.from(JSON.stringify({ weight_map: map })),
    "extra/notes.txt": Buffer.from("a folder below\n"),
    ...Object.fromEntries(names.map((name) => [name, randomBytes(bytes)])),
  };
}

/** Writes files into a folder. */
export function writeTree(folder: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

/** SHA-256 of a file's content, in hex. */
export function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Digests of files by path. */
export function digests(files: Files): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(files).map(([name, content]) => [name, sha256(content)]),
  );
}

/** {@link digests} of the files of a folder, without the downloader's marker. */
export function folderDigests(folder: string): Readonly<Record<string, string>> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== ".llmops.json")
    .map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    files.map((file) => [relative(folder, file), sha256(readFileSync(file))]),
  );
}

/** How a command of the downloader ended. */
export interface Ended {
  readonly code: number | null;
  readonly log: string;
}

type Numbers = Readonly<Record<string, number>>;

/** Runs `llmops_models` as a pod does. `tuning` are numbers of the downloader. */
export function runModels(options: {
  readonly home: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly tuning?: Numbers;
  /** Told of what it logs, as it comes. */
  readonly onLog?: (text: string) => void;
}): Promise<Ended> {
  const child = spawn("python", ["-m", "llmops_models", ...options.args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      PYTHONPATH: join(ROOT, "images", "models"),
      PYTHONDONTWRITEBYTECODE: "1",
      HOME: options.home,
      NO_GCE_CHECK: "true",
      LLMOPS_FETCH_TUNING: JSON.stringify({ backoff_seconds: 0.02, ...options.tuning }),
      ...options.env,
    },
  });
  const parts: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (part: Buffer) => {
      parts.push(part);
      options.onLog?.(part.toString());
    });
  }
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => {
      done({ code, log: Buffer.concat(parts).toString() });
    });
  });
}

/** A volume that `fetch` brings a model to, in an empty folder. */
export class Volume {
  public readonly model: string;
  readonly #folder: string;

  public constructor(folder: string) {
    this.#folder = folder;
    this.model = join(folder, "sources", "model");
  }

  /** Whether a server would find a model. */
  public hasModel(): boolean {
    return existsSync(this.model);
  }

  /** Runs `fetch` as the init container does. */
  public fetch(
    source: readonly string[],
    env: Readonly<Record<string, string>> = {},
    tuning: Numbers = {},
  ): Promise<Ended> {
    const args = ["fetch", ...source, "--to", this.model];
    return runModels({ home: this.#folder, args, env, tuning });
  }
}
