import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/program";

/** The code blocks of a language in a section of a document, as a reader copies them. @throws where it has none. */
export function codeBlocks(
  document: string,
  heading: string,
  language: "bash" | "yaml" = "bash",
): readonly string[] {
  const text = readFileSync(join(ROOT, document), "utf8");
  const [, ...sections] = text.split(/^## /m);
  const section = sections.find((each) => each.startsWith(`${heading}\n`)) ?? "";
  const blocks = section.matchAll(new RegExp(`^( *)\`\`\`${language}\\n([^]*?)^\\1\`\`\`$`, "gm"));
  const code = [...blocks].map(([, indent = "", block = ""]) =>
    block.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  );
  if (code.length === 0) throw new Error(`${document} has no ${language} in "${heading}"`);
  return code;
}
