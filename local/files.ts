import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Writes a file that readers see whole or as it was before, also when several processes write it, or one is killed. */
export function replaceFile(file: string, text: string, mode = 0o666): void {
  mkdirSync(dirname(file), { recursive: true });
  const partial = `${file}.${process.pid}`;
  writeFileSync(partial, text, { mode });
  renameSync(partial, file);
}
