/** The stand-in for the provider plugin of @pulumi/random: see README.md in this folder. */
import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { changesBetween } from "./diff.ts";
import { Engine } from "./plugin.ts";
import type { Provider } from "./provider.ts";
import { serveProvider } from "./serve.ts";
import { revealProps, secret, unknownString, type Props } from "./values.ts";

const lower = "abcdefghijklmnopqrstuvwxyz";
const sets = {
  Upper: lower.toUpperCase(),
  Lower: lower,
  Numeric: "0123456789",
  Special: "!@#$%&*()-_=+[]{}<>:?",
};

interface Values {
  readonly id: string;
  readonly outputs: Props;
}

type Make = (inputs: Props) => Values;

const kinds: Record<string, { make: Make; outputs: readonly string[]; secrets: boolean }> = {
  "random:index/randomPassword:RandomPassword": {
    make: (inputs) => ({ id: "none", outputs: { ...textOutputs(inputs), result: text(inputs) } }),
    outputs: ["result"],
    secrets: true,
  },
  "random:index/randomString:RandomString": {
    make: (inputs) => {
      const result = text(inputs);
      return { id: result, outputs: { ...textOutputs(inputs), result } };
    },
    outputs: ["result"],
    secrets: false,
  },
  "random:index/randomId:RandomId": {
    make: bytes,
    outputs: ["b64Std", "b64Url", "dec", "hex"],
    secrets: false,
  },
  "random:index/randomUuid:RandomUuid": {
    make: () => {
      const result = randomUUID();
      return { id: result, outputs: { result } };
    },
    outputs: ["result"],
    secrets: false,
  },
};

function kindOf(type: string): (typeof kinds)[string] {
  const kind = kinds[type];
  if (kind === undefined) {
    const known = Object.keys(kinds).map((token) => token.split(":")[2]);
    throw new Error(`the random stand-in has no ${type}; it has ${known.join(", ")}`);
  }
  return kind;
}

function flag(inputs: Props, name: string): boolean {
  return (inputs[name] ?? true) === true;
}

function textOutputs(inputs: Props): Props {
  const outputs: Props = {};
  for (const set of Object.keys(sets)) {
    outputs[set.toLowerCase()] = flag(inputs, set.toLowerCase());
    outputs[`min${set}`] = inputs[`min${set}`] ?? 0;
  }
  outputs["number"] = outputs["numeric"] ?? true;
  return outputs;
}

function pick(alphabet: string, count: number): string[] {
  return Array.from({ length: count }, () => alphabet.charAt(randomInt(alphabet.length)));
}

function text(inputs: Props): string {
  const length = Number(inputs["length"]);
  const special = inputs["overrideSpecial"];
  const chosen: string[] = [];
  let alphabet = "";
  for (const [set, standard] of Object.entries(sets)) {
    if (!flag(inputs, set.toLowerCase())) {
      continue;
    }
    const characters = set === "Special" && typeof special === "string" ? special : standard;
    alphabet += characters;
    chosen.push(...pick(characters, Number(inputs[`min${set}`] ?? 0)));
  }
  if (alphabet === "") {
    throw new Error("at least one of upper, lower, numeric and special must be true");
  }
  chosen.push(...pick(alphabet, length - chosen.length));
  for (let last = chosen.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [chosen[last], chosen[other]] = [chosen[other] ?? "", chosen[last] ?? ""];
  }
  return chosen.join("");
}

function bytes(inputs: Props): Values {
  const value = randomBytes(Number(inputs["byteLength"]));
  const prefix = typeof inputs["prefix"] === "string" ? inputs["prefix"] : "";
  const hex = value.toString("hex");
  return {
    id: value.toString("base64url"),
    outputs: {
      b64Std: prefix + value.toString("base64"),
      b64Url: prefix + value.toString("base64url"),
      hex: prefix + hex,
      dec: prefix + BigInt(`0x${hex}`).toString(),
    },
  };
}

function lengthFailures(type: string, inputs: Props): { property: string; reason: string }[] {
  const property = type.endsWith("RandomId") ? "byteLength" : "length";
  const length = inputs[property];
  if (type.endsWith("RandomUuid") || length === unknownString) {
    return [];
  }
  const least = Object.keys(sets).reduce((sum, set) => sum + Number(inputs[`min${set}`] ?? 0), 1);
  const enough = Number.isInteger(length) && Number(length) >= Math.max(1, least - 1);
  return enough
    ? []
    : [{ property, reason: `${property} must be a number that fits the minimums` }];
}

const random: Provider = {
  version: "4.21.2",
  configure: () => Promise.resolve(),
  check: ({ type, news }) => {
    kindOf(type);
    return Promise.resolve({ inputs: news, failures: lengthFailures(type, revealProps(news)) });
  },
  diff: ({ inputs }, news) => {
    const changes = changesBetween(inputs, news);
    return Promise.resolve({ changes, replaces: changes });
  },
  create: ({ type }, inputs, { preview }) => {
    const kind = kindOf(type);
    const made = preview ? undefined : kind.make(revealProps(inputs));
    const state: Props = { ...inputs, ...made?.outputs };
    for (const output of kind.outputs) {
      const value = state[output] ?? unknownString;
      state[output] = kind.secrets ? secret(value) : value;
    }
    return Promise.resolve({ id: made?.id ?? "", state });
  },
  read: ({ id, state, inputs }) => Promise.resolve({ id, state, inputs }),
  update: () => Promise.reject(new Error("a random value is replaced, never updated")),
  delete: () => Promise.resolve(),
};

void serveProvider("random", random, new Engine());
