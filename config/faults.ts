import type { z } from "zod";

/** One thing that is wrong in a stack's configuration. */
export interface Fault {
  /** Path of the setting, such as `models[0].replicas`. */
  readonly key: string;
  /** What is there now, as text. */
  readonly got: string;
  /** What would be right. */
  readonly allowed: string;
  /** The command or line that mends it. */
  readonly fix: string;
}

/** Writes a path the way `pulumi config set --path` takes it. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${String(part)}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}

/** The command that sets a setting to `value`. */
export function setCommand(key: string, value: string): string {
  return `pulumi config set --path 'llmops:${key}' '${value}'`;
}

/** The command that removes a setting. */
export function removeCommand(key: string): string {
  return `pulumi config rm --path 'llmops:${key}'`;
}

/** The value at `path` of a tree, or undefined. */
export function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (node, part) =>
      typeof node === "object" && node !== null
        ? (node as Record<PropertyKey, unknown>)[part]
        : undefined,
    tree,
  );
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

function typeName(expected: string): string {
  return { int: "a whole number", object: "a map", array: "a list" }[expected] ?? `a ${expected}`;
}

function allowedBy(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return typeName(issue.expected);
    case "invalid_value":
      return issue.values.map((value) => String(value)).join(" | ");
    case "invalid_union":
      return "options" in issue && Array.isArray(issue.options)
        ? issue.options.map(String).join(" | ")
        : issue.message;
    case "too_small":
      return issue.origin === "array" || issue.origin === "string"
        ? issue.message
        : `at least ${String(issue.minimum)}`;
    case "too_big":
      return issue.origin === "string" ? issue.message : `at most ${String(issue.maximum)}`;
    default:
      return issue.message;
  }
}

/**
 * Turns what zod found into faults. `tree` is the configuration as given; `section` the names
 * allowed at each level come from the schema itself.
 */
export function faultsOf(error: z.ZodError, tree: unknown): Fault[] {
  return error.issues.flatMap((issue): Fault[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((name) => {
        const key = formatPath([...issue.path, name]);
        return {
          key,
          got: show(valueAt(tree, [...issue.path, name])),
          allowed: "no such setting: see docs/settings.md for the names",
          fix: removeCommand(key),
        };
      });
    }
    const path =
      issue.code === "invalid_union" && issue.discriminator !== undefined
        ? [
            ...issue.path,
            ...(issue.path.at(-1) === issue.discriminator ? [] : [issue.discriminator]),
          ]
        : issue.path;
    const key = formatPath(path);
    const allowed = allowedBy(issue);
    return [{ key, got: show(valueAt(tree, path)), allowed, fix: setCommand(key, `<${allowed}>`) }];
  });
}

/** All faults as one text for the terminal. */
export function renderFaults(stack: string, faults: readonly Fault[]): string {
  const count = faults.length === 1 ? "1 fault" : `${String(faults.length)} faults`;
  const blocks = faults.map(
    ({ key, got, allowed, fix }) =>
      `  ${key}\n    got:     ${got}\n    allowed: ${allowed}\n    mend:    ${fix}`,
  );
  return `Pulumi.${stack}.yaml has ${count}; nothing was created.\n\n${blocks.join("\n\n")}\n`;
}
