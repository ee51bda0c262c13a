/** Prints the seconds of CPU from before index.ts is loaded, the SDK being there, to the first resource's registration. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import * as pulumi from "@pulumi/pulumi";
import { parse } from "yaml";

import { ROOT } from "./stack.ts";

const seconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

const { config } = parse(readFileSync(join(ROOT, "Pulumi.prod.yaml"), "utf8")) as {
  readonly config: Readonly<Record<string, unknown>>;
};
const texts = Object.entries(config).map(([key, value]) => [
  key,
  typeof value === "string" ? value : JSON.stringify(value),
]);
const load = createRequire(join(ROOT, "package.json"));
load("./scripts/typescript.cjs");
let first: number | undefined;
await pulumi.runtime.setMocks(
  {
    newResource: ({ name, inputs }) => {
      first ??= seconds();
      return {
        id: name,
        state: { ...(inputs as object), repoDigest: "image@sha256:0", result: "key" },
      };
    },
    call: ({ token }) => {
      throw new Error(`the program called ${token}`);
    },
  },
  "llmops",
  "prod",
);
load("./tests/support/mockHooks.ts");
(pulumi.runtime.setAllConfig as (all: object) => void)(Object.fromEntries(texts) as object);
const before = seconds();
await pulumi.runtime.runInPulumiStack(() => Promise.resolve(load("./index.ts") as object));
if (first === undefined) throw new Error("the program registered nothing");
process.stdout.write(`${first - before}\n`);
