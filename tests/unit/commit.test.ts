import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commitOf } from "../../config/commit";

const root = mkdtempSync(join(tmpdir(), "commit-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const git = (...args: string[]): string =>
  execFileSync("git", ["-C", root, "-c", "user.name=t", "-c", "user.email=t@t", ...args], {
    encoding: "utf8",
    stdio: "pipe",
  }).trim();

test("the commit of a checkout, of a folder in it, and of one with a changed file; not of one without commits", () => {
  expect(commitOf(root)).toBe("");
  git("init", "--quiet");
  expect(commitOf(root)).toBe("");
  mkdirSync(join(root, "inside"));
  writeFileSync(join(root, "inside", "file"), "1");
  git("add", ".");
  git("commit", "--quiet", "--message", "first");
  // A tag is not told in place of the commit.
  git("tag", "--annotate", "v1", "--message", "v1");
  const commit = git("rev-parse", "HEAD");
  expect(commit).toMatch(/^[0-9a-f]{40}$/);
  expect(commitOf(root)).toBe(commit);
  expect(commitOf(join(root, "inside"))).toBe(commit);

  writeFileSync(join(root, "new"), "not tracked");
  expect(commitOf(root)).toBe(commit);
  writeFileSync(join(root, "inside", "file"), "2");
  expect(commitOf(root)).toBe(`${commit}-dirty`);
  expect(commitOf(join(root, "none"))).toBe("");
});
