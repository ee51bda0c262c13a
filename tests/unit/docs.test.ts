import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { settingsTable } from "../../scripts/settingsTable";
import { ROOT } from "../support/program";

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const documents = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(ROOT, "docs"), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

test("docs/settings.md is what the schema says", () => {
  expect(read("docs/settings.md")).toBe(settingsTable());
});

test("the README is short and starts with the two commands", () => {
  const lines = read("README.md").split("\n");
  expect(lines.length).toBeLessThanOrEqual(150);
  const blocks = read("README.md").split("```");
  expect(blocks[1]).toMatch(/make local\b[^]*make test\b/);
});

test.each(documents)("every make target and file that %s names is there", (document) => {
  const text = read(document);
  const targets = new Set(
    [...read("Makefile").matchAll(/^([a-z-]+):/gm)].map(([, target]) => target),
  );
  const code = [...text.matchAll(/`([^`\n]+)`|^\s*(?:\$ )?(make [a-z-]+.*)$/gm)].map(
    ([, inline, block]) => inline ?? block ?? "",
  );
  for (const snippet of code) {
    const target = /^make (?:-s )?([a-z-]+)/.exec(snippet)?.[1];
    if (target !== undefined) expect(targets).toContain(target);
  }
  for (const [, link] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
    expect(() => readdirSync(join(ROOT, document, "..", link ?? "", ".."))).not.toThrow();
    expect(() => read(join(document, "..", link ?? ""))).not.toThrow();
  }
});
