import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { unreadable } from "./dataset";
import type { Fault } from "./faults";
import { setCommand } from "./faults";

const KEY = "images.caBundle";

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** What is wrong with the text of a bundle, in a few words that quote none of it. */
function problemOf(pem: string): string | undefined {
  if (pem.includes("PRIVATE KEY")) return "a private key (not shown)";
  const blocks = pem.match(BLOCK) ?? [];
  if (blocks.length === 0) return "no certificate";
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch {
      return `certificate ${String(index + 1)} of ${String(blocks.length)} is broken`;
    }
  }
  return undefined;
}

/**
 * Faults of the CA bundle that goes into the image builds. Whatever is in it lies open in the
 * images, so a private key is refused.
 *
 * @param root - folder of the project
 * @param path - the bundle, relative to it; undefined where the stack has none
 */
export function caBundleFaults(root: string, path: string | undefined): Fault[] {
  if (path === undefined) return [];
  let pem: string;
  try {
    pem = readFileSync(join(root, path), "utf8");
  } catch (error) {
    return [unreadable(KEY, path, error)];
  }
  const problem = problemOf(pem);
  if (problem === undefined) return [];
  return [
    {
      key: KEY,
      got: `"${path}": ${problem}`,
      allowed: "certificates in PEM form, and nothing secret",
      fix: setCommand(KEY, "images/ca/<file>"),
    },
  ];
}
