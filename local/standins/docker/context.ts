import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { IgnoreRules } from "./ignore.ts";

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return undefined;
    }
    throw error;
  }
}

/** The rules for a build: those beside its Dockerfile, or else those of the context. */
export async function ignoreRules(context: string, dockerfile: string): Promise<IgnoreRules> {
  const own = await textOf(`${dockerfile}.dockerignore`);
  return new IgnoreRules(own ?? (await textOf(join(context, ".dockerignore"))) ?? "");
}

/** A stream for each of many small files took most of the time that a preview needs for its images. */
const readAtOnce = 1024 * 1024;

async function addFile(hash: Hash, path: string, size: number): Promise<void> {
  if (size <= readAtOnce) {
    hash.update(await readFile(path));
    return;
  }
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk as Buffer);
  }
}

async function addFolder(
  hash: Hash,
  root: string,
  relative: string,
  rules: IgnoreRules,
): Promise<void> {
  const entries = await readdir(join(root, relative), { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
    const ignored = rules.ignores(path);
    if (entry.isDirectory()) {
      if (!ignored || rules.hasExceptions) {
        await addFolder(hash, root, path, rules);
      }
      continue;
    }
    if (ignored) {
      continue;
    }
    const file = join(root, path);
    const { mode, size } = await lstat(file);
    hash.update(`${path}\0${(mode & 0o777).toString(8)}\0`);
    if (entry.isSymbolicLink()) {
      hash.update(`-> ${await readlink(file)}`);
    } else if (entry.isFile()) {
      await addFile(hash, file, size);
    }
    hash.update("\0");
  }
}

/** A digest of everything a build can see: the Dockerfile, and each file's path, mode and contents. */
export async function contextDigest(context: string, dockerfile: string): Promise<string> {
  const hash = createHash("sha256");
  await addFile(hash, dockerfile, (await stat(dockerfile)).size);
  hash.update("\0");
  await addFolder(hash, context, "", await ignoreRules(context, dockerfile));
  return hash.digest("hex");
}
