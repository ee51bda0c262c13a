/**
 * Property values as the Pulumi engine sends them: JSON with envelopes for secrets and marker strings
 * for values that are not known before the update has run.
 */

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A JSON object: the properties of one resource. */
export interface Props {
  [key: string]: Json;
}

const signatureKey = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";

/** The marker the engine uses for a string that is not known yet. */
export const unknownString = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const unknowns = new Set<string>([
  unknownString,
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "030794c1-ac77-496b-92df-f27374a8bd58",
  "e48ece36-62e2-4504-bad9-02848725956a",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

/** Whether the value is an object, not an array and not null. */
export function isObject(value: Json | undefined): value is Props {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value as text: a string as it is, anything else as JSON. */
export function asText(value: Json | undefined): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}

/** Whether the value is a secret envelope. */
export function isSecret(value: Json | undefined): value is Props {
  return isObject(value) && value[signatureKey] === secretSignature;
}

/** Whether the value is one that only the update itself will know. */
export function isUnknown(value: Json | undefined): boolean {
  return typeof value === "string" && unknowns.has(value);
}

/** Wraps a value as a secret, once. */
export function secret(value: Json): Json {
  return isSecret(value) ? value : { [signatureKey]: secretSignature, value };
}

/** The value without secret envelopes and without null members. */
export function reveal(value: Json): Json {
  if (isSecret(value)) {
    return reveal(value["value"] ?? null);
  }
  if (Array.isArray(value)) {
    return value.map(reveal);
  }
  return isObject(value) ? revealProps(value) : value;
}

/** {@link reveal} of an object. */
export function revealProps(props: Props): Props {
  const plain: Props = {};
  for (const [key, value] of Object.entries(props)) {
    const inner = reveal(value);
    if (inner !== null) {
      plain[key] = inner;
    }
  }
  return plain;
}

/** Whether any part of the value satisfies the predicate. */
function some(value: Json, predicate: (part: Json) => boolean): boolean {
  if (predicate(value)) {
    return true;
  }
  if (Array.isArray(value)) {
    return value.some((item) => some(item, predicate));
  }
  return isObject(value) && Object.values(value).some((item) => some(item, predicate));
}

/** Whether any part of the value is not known yet. */
export function hasUnknown(value: Json): boolean {
  return some(value, isUnknown);
}

/** Whether any part of the value is secret. */
export function hasSecret(value: Json): boolean {
  return some(value, isSecret);
}

/** The plain strings inside the secret envelopes of a value. */
export function secretStrings(value: Json, inSecret = false): string[] {
  if (isSecret(value)) {
    return secretStrings(value["value"] ?? null, true);
  }
  if (typeof value === "string") {
    return inSecret && value.length > 0 && !isUnknown(value) ? [value] : [];
  }
  if (Array.isArray(value)) {
    return value.flatMap((item) => secretStrings(item, inSecret));
  }
  return isObject(value)
    ? Object.values(value).flatMap((item) => secretStrings(item, inSecret))
    : [];
}

/** The text with every secret string of the inputs (also base64-encoded) blanked out. */
export function redact(text: string, inputs: Json): string {
  const plain = secretStrings(inputs);
  const all = [...plain, ...plain.map((value) => Buffer.from(value).toString("base64"))];
  return all
    .filter((value) => value.length > 3)
    .sort((a, b) => b.length - a.length)
    .reduce((redacted, value) => redacted.split(value).join("[secret]"), text);
}

/**
 * Puts the secret envelopes of `inputs` back around the same members of plain `outputs`. An array with a
 * secret in it becomes secret as a whole, because its items may have been reordered or extended.
 */
export function markSecrets(outputs: Props, inputs: Props): Props {
  const marked: Props = { ...outputs };
  for (const [key, input] of Object.entries(inputs)) {
    const output = marked[key];
    if (output === undefined) {
      continue;
    }
    if (isObject(output) && isObject(input) && !isSecret(input) && !isSecret(output)) {
      marked[key] = markSecrets(output, input);
    } else if (hasSecret(input)) {
      marked[key] = secret(output);
    }
  }
  return marked;
}

/** A deep copy. */
export function clone<T extends Json>(value: T): T {
  return structuredClone(value);
}

/** The member as an object, or an empty one. */
export function objectAt(props: Props, key: string): Props {
  const value = props[key];
  return isObject(value) ? value : {};
}

/** The member as a string, or undefined. */
export function stringAt(props: Props, key: string): string | undefined {
  const value = props[key];
  return typeof value === "string" && value !== "" && !isUnknown(value) ? value : undefined;
}

/** The member at a path of keys. */
export function at(value: Json | undefined, ...path: string[]): Json | undefined {
  return path.reduce<Json | undefined>(
    (part, key) => (isObject(part) ? part[key] : undefined),
    value,
  );
}
