/** The rules of a .dockerignore file: the last pattern that matches decides; `!` takes a path back in. */
export class IgnoreRules {
  private readonly rules: readonly { readonly exclude: boolean; readonly pattern: RegExp }[];
  /** Whether a file inside an excluded folder may still be wanted. */
  readonly hasExceptions: boolean;

  constructor(text: string) {
    this.rules = text
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const exclude = !line.startsWith("!");
        return { exclude, pattern: compiled(exclude ? line : line.slice(1).trim()) };
      });
    this.hasExceptions = this.rules.some((rule) => !rule.exclude);
  }

  /** Whether the path, relative to the context and with forward slashes, is left out. */
  ignores(path: string): boolean {
    const parts = path.split("/");
    const withParents = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
    return this.rules.reduce(
      (ignored, rule) =>
        withParents.some((part) => rule.pattern.test(part)) ? rule.exclude : ignored,
      false,
    );
  }
}

/** A pattern as Docker reads it: `*` and `?` within one name, `**` across any number of folders. */
function compiled(pattern: string): RegExp {
  const clean = pattern.replace(/^\.?\/+/, "").replace(/\/+$/, "");
  let source = "";
  for (let index = 0; index < clean.length; index++) {
    const character = clean.charAt(index);
    if (character === "*" && clean.charAt(index + 1) === "*") {
      index++;
      if (clean.charAt(index + 1) === "/") {
        index++;
        source += "(?:.*/)?";
      } else {
        source += ".*";
      }
    } else if (character === "*") {
      source += "[^/]*";
    } else if (character === "?") {
      source += "[^/]";
    } else if (character === "[" && clean.indexOf("]", index) > index) {
      const end = clean.indexOf("]", index);
      source += `[${clean.slice(index + 1, end).replaceAll("\\", "\\\\")}]`;
      index = end;
    } else {
      source += character.replace(/[\\^$.|+(){}[\]]/g, "\\$&");
    }
  }
  return new RegExp(`^${source}$`);
}
