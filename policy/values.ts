/** Stands for a value that only the update itself makes known. */
export const UNKNOWN: unique symbol = Symbol("known after the update");

/** A property of a resource: JSON, in which any part may be {@link UNKNOWN}. */
export type Value =
  undefined | null | boolean | number | string | typeof UNKNOWN | readonly Value[] | Fields;

/** An object of properties. */
export interface Fields {
  readonly [key: string]: Value;
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

function isFields(value: Value): value is Fields {
  return typeof value === "object" && value !== null && !isList(value);
}

/** The value at a path of keys: undefined where it is not set, UNKNOWN where it or what it lies in is. */
export function at(value: Value, ...path: readonly string[]): Value {
  return path.reduce<Value>((part, key) => {
    if (part === UNKNOWN) return UNKNOWN;
    return isFields(part) ? part[key] : undefined;
  }, value);
}

/** The items of a list; none where the value is not a list, or not known. */
export function items(value: Value): readonly Value[] {
  return isList(value) ? value : [];
}

/** The keys and values of an object; none where the value is not an object, or not known. */
export function entries(value: Value): readonly (readonly [string, Value])[] {
  return isFields(value) ? Object.entries(value) : [];
}

/** The value where it is a text, else undefined. */
export function text(value: Value): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Whether the value is set to anything at all; what is not known may be. */
export function isSet(value: Value): boolean {
  return value !== undefined && value !== null;
}

/** Every text in a value, however deep. */
export function texts(value: Value): readonly string[] {
  if (typeof value === "string") return [value];
  if (isList(value)) return value.flatMap(texts);
  return entries(value).flatMap(([, field]) => texts(field));
}

/**
 * A copy of the properties that Pulumi hands to a policy. Reading one that is not known yet throws there; here it
 * becomes {@link UNKNOWN}, so that a rule can go on with the rest.
 */
export function plain(given: unknown): Value {
  switch (typeof given) {
    case "string":
    case "number":
    case "boolean":
    case "symbol":
      return given === UNKNOWN ? UNKNOWN : (given as string | number | boolean);
    case "object":
      break;
    default:
      return undefined;
  }
  if (given === null) return null;
  const fields = given as Readonly<Record<string, unknown>>;
  if (Array.isArray(given)) return Array.from(given.keys(), (index) => read(fields, String(index)));
  return Object.fromEntries(Object.keys(fields).map((key) => [key, read(fields, key)]));
}

function read(fields: Readonly<Record<string, unknown>>, key: string): Value {
  try {
    return plain(fields[key]);
  } catch (error) {
    // Of @pulumi/policy, which does not export the class of this error.
    if (error instanceof Error && "unknownTypeSentinel" in error) return UNKNOWN;
    throw error;
  }
}
