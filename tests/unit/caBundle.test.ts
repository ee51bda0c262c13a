import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { caBundleFaults } from "../../config/caBundle";
import { ROOT } from "../support/program";

const EXAMPLE = readFileSync(join(ROOT, "images/ca/example.pem"), "utf8");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "llmops-ca-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const faults = (text: string) => {
  writeFileSync(join(folder, "site.pem"), text);
  return caBundleFaults(folder, "site.pem");
};

test("no bundle, the example, and a chain of two are fine", () => {
  expect(caBundleFaults(folder, undefined)).toEqual([]);
  expect(faults(EXAMPLE)).toEqual([]);
  expect(faults(`# our root\n${EXAMPLE}\n# and again\n${EXAMPLE}`)).toEqual([]);
});

test("a private key is refused and not shown", () => {
  const label = ["PRIVATE", "KEY"].join(" ");
  const key = `-----BEGIN ${label}-----\nplanted\n-----END ${label}-----\n`;
  expect(faults(EXAMPLE + key)).toEqual([
    {
      key: "images.caBundle",
      got: '"site.pem": a private key (not shown)',
      allowed: "certificates in PEM form, and nothing secret",
      fix: "pulumi config set --path 'llmops:images.caBundle' 'images/ca/<file>'",
    },
  ]);
});

test.each([
  ["", "no certificate"],
  ["text", "no certificate"],
  [EXAMPLE.replace(/\n[A-Za-z0-9+/]{64}\n/, "\n"), "certificate 1 of 1 is broken"],
])("%j holds nothing to trust: %s", (text, problem) => {
  expect(faults(text)).toEqual([expect.objectContaining({ got: `"site.pem": ${problem}` })]);
});

test("a file that is not there is named", () => {
  expect(caBundleFaults(folder, "none.pem")).toEqual([
    expect.objectContaining({
      key: "images.caBundle",
      got: expect.stringMatching(/^"none\.pem": Error: ENOENT|^"none\.pem": ENOENT/),
    }),
  ]);
});
