import { execFileSync } from "node:child_process";

/**
 * The commit that a folder is at: 40 hex digits, with `-dirty` where a tracked file differs from it. Empty where there is no
 * commit to tell: not a git checkout, no `git`, or one that may not read it.
 *
 * @param root - folder of the project
 */
export function commitOf(root: string): string {
  try {
    const args = ["-C", root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"];
    return execFileSync("git", ["--no-optional-locks", ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "";
  }
}
