import { sameValue } from "../diff.ts";
import { at, isObject, markSecrets, objectAt, secret, type Json, type Props } from "../values.ts";

const fieldManagerKey = "__fieldManager";

/** The secret envelopes of the inputs, and those every Secret's contents get. */
export function withSecrets(object: Props, inputs: Props): Props {
  const marked = markSecrets(object, inputs);
  if (object["kind"] === "Secret") {
    for (const key of ["data", "stringData"]) {
      const contents = marked[key];
      if (contents !== undefined) {
        marked[key] = secret(contents);
      }
    }
  }
  return marked;
}

/** The outputs to record: the live object, and what the official provider records beside it. */
export function recorded(live: Props, inputs: Props, manager: string): Props {
  return {
    ...withSecrets(live, inputs),
    __inputs: withSecrets(inputs, inputs),
    __initialApiVersion: inputs["apiVersion"] ?? "",
    [fieldManagerKey]: manager,
  };
}

/** The field manager under which the recorded object was applied. */
export function recordedManager(state: Props): string | undefined {
  const manager = state[fieldManagerKey];
  return typeof manager === "string" ? manager : undefined;
}

/** The outcome of a dry run without what the real run will set anew. */
export function planned(object: Props): Props {
  const { status, ...rest } = object;
  const { uid, resourceVersion, creationTimestamp, generation, ...metadata } = objectAt(
    object,
    "metadata",
  );
  const left = [status, uid, resourceVersion, creationTimestamp, generation];
  return left.every((part) => part === undefined) ? object : { ...rest, metadata };
}

/** The inputs that would make an object like the live one: for an import. */
export function importedInputs(live: Props): Props {
  const object = planned(live);
  const { selfLink, ownerReferences, ...metadata } = objectAt(object, "metadata");
  const plain = selfLink === undefined && ownerReferences === undefined;
  return plain ? object : { ...object, metadata };
}

/**
 * The inputs with every value that the cluster no longer has as it was left: what differs between the recorded
 * and the live object, within what the program sets. Fields that only others set do not count.
 */
export function drifted(inputs: Props, before: Props, now: Props): Props {
  const result: Props = {};
  for (const [key, input] of Object.entries(inputs)) {
    const old = before[key];
    const live = now[key];
    if (key === "stringData" && isObject(input)) {
      result[key] = driftedText(input, objectAt(before, "data"), objectAt(now, "data"));
    } else if (isObject(input) && isObject(old) && isObject(live)) {
      result[key] = drifted(input, old, live);
    } else if (sameValue(old ?? null, live ?? null)) {
      result[key] = input;
    } else if (live !== undefined) {
      result[key] = live;
    }
  }
  return result;
}

/** A Secret's `stringData` comes back from the server as base64 in `data`. */
function driftedText(inputs: Props, before: Props, now: Props): Props {
  const result: Props = {};
  for (const [key, input] of Object.entries(inputs)) {
    const live = at(now, key);
    if (sameValue(before[key] ?? null, live ?? null)) {
      result[key] = input;
    } else if (typeof live === "string") {
      result[key] = decoded(live);
    }
  }
  return result;
}

function decoded(text: string): Json {
  return Buffer.from(text, "base64").toString("utf8");
}
