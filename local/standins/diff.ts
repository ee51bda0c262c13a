import { isObject, reveal, revealProps, type Json, type Props } from "./values.ts";

/** How one property changes. */
export type ChangeKind = "add" | "delete" | "update";

/** One changed property, with its path as keys and array indices. */
export interface Change {
  readonly path: readonly (string | number)[];
  readonly kind: ChangeKind;
}

/** All changes between two property values; secret envelopes and nulls make no difference. */
export function changesBetween(before: Props, after: Props): Change[] {
  const found: Change[] = [];
  walk([], revealProps(before), revealProps(after), found);
  return found;
}

/** Whether two values are the same but for secret envelopes and nulls. */
export function sameValue(a: Json, b: Json): boolean {
  return changesBetween({ value: reveal(a) }, { value: reveal(b) }).length === 0;
}

function walk(
  path: readonly (string | number)[],
  before: Json | undefined,
  after: Json | undefined,
  found: Change[],
): void {
  if (before === undefined || after === undefined) {
    if (before !== after) {
      found.push({ path, kind: before === undefined ? "add" : "delete" });
    }
  } else if (isObject(before) && isObject(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      walk([...path, key], before[key], after[key], found);
    }
  } else if (Array.isArray(before) && Array.isArray(after)) {
    const length = Math.max(before.length, after.length);
    for (let index = 0; index < length; index++) {
      walk([...path, index], before[index], after[index], found);
    }
  } else if (before !== after) {
    found.push({ path, kind: "update" });
  }
}

/** A property path in the engine's notation, such as `metadata.labels["a.b"]` or `containers[0]`. */
export function pathText(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") {
      return `${text}[${part}]`;
    }
    if (/^[A-Za-z_$][\w$-]*$/.test(part)) {
      return text === "" ? part : `${text}.${part}`;
    }
    return `${text}[${JSON.stringify(part)}]`;
  }, "");
}

/** Whether the change touches the dotted property or something inside it; array indices are skipped. */
export function touches(change: Change, property: string): boolean {
  const keys = change.path.filter((part) => typeof part === "string");
  const wanted = property.split(".");
  const length = Math.min(keys.length, wanted.length);
  return keys.slice(0, length).every((key, index) => key === wanted[index]);
}
