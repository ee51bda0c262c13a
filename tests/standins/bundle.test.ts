import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { builtinModules } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bundleStandins } from "../../local/standins/bundle";

const checkout = resolve(__dirname, "../..");
const cacheHome = process.env["XDG_CACHE_HOME"];

let folder: string;
let source: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmops-bundle-"));
  process.env["XDG_CACHE_HOME"] = join(folder, "cache");
  source = join(folder, "local", "standins");
  cpSync(join(checkout, "local", "standins"), source, { recursive: true });
  cpSync(join(checkout, "package-lock.json"), join(folder, "package-lock.json"));
  cpSync(join(checkout, "local", "package.json"), join(folder, "local", "package.json"));
  symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
});
afterEach(() => {
  if (cacheHome === undefined) delete process.env["XDG_CACHE_HOME"];
  else process.env["XDG_CACHE_HOME"] = cacheHome;
  rmSync(folder, { recursive: true });
});

const kept = (): string[] => readdirSync(join(folder, "cache", "llmops", "standins"));

test("a stand-in is one file that needs Node alone, made once though asked for twice at once", async () => {
  const entries = ["random.ts", "language-nodejs.ts"];
  const both = [bundleStandins(source, entries), bundleStandins(source, entries)];
  const [first = "", second] = await Promise.all(both);
  expect(second).toBe(first);
  expect(kept()).toHaveLength(1);
  expect(readdirSync(first).sort()).toEqual(["language-nodejs.cjs", "random.cjs"]);
  const text = readFileSync(join(first, "random.cjs"), "utf8");
  const imported = [...text.matchAll(/\brequire\("(?:node:)?([^"]+)"\)/g)];
  expect(imported.length).toBeGreaterThan(0);
  for (const [, name = ""] of imported) expect(builtinModules).toContain(name);
});

test("a changed source is bundled anew; one that cannot be bundled leaves nothing behind", async () => {
  const first = await bundleStandins(source, ["random.ts"]);
  writeFileSync(join(source, "diff.ts"), "export const = ;");
  await expect(bundleStandins(source, ["random.ts"])).rejects.toThrow(
    'Expected identifier but found "="',
  );
  expect(kept()).toHaveLength(1);
  cpSync(join(checkout, "local", "standins", "diff.ts"), join(source, "diff.ts"));
  expect(await bundleStandins(source, ["random.ts"])).toBe(first);
  const text = readFileSync(join(source, "random.ts"), "utf8");
  writeFileSync(join(source, "random.ts"), `${text}// changed\n`);
  expect(await bundleStandins(source, ["random.ts"])).not.toBe(first);
});
