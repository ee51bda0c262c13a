import { join } from "node:path";

import { makeContext, alone } from "./commands/context.ts";
import type { Context } from "./commands/context.ts";

const checkout = join(import.meta.dirname, "..");

/** The commands, each loaded only when it is asked for. Gives the exit code. */
const commands: Record<string, (context: Context, args: readonly string[]) => Promise<number>> = {
  up: async (context, args) => {
    const [flag, name, registry = ""] = args;
    if (flag === "--context" && name !== undefined) {
      const { upExternal } = await import("./commands/external.ts");
      return alone(context, () => upExternal(context, { name, registry })).then(() => 0);
    }
    const { up } = await import("./commands/up.ts");
    return alone(context, () => up(context)).then(() => 0);
  },
  down: async (context) => {
    const { down } = await import("./commands/down.ts");
    return alone(context, () => down(context)).then(() => 0);
  },
  tools: async (context) => {
    const { buildTools } = await import("./commands/parts.ts");
    return buildTools(context).then(() => 0);
  },
  ask: async (context, args) => {
    const { ask } = await import("./commands/inspect.ts");
    return ask(context, args.join(" ")).then(() => 0);
  },
  status: async (context) => {
    const { status } = await import("./commands/inspect.ts");
    return status(context).then(() => 0);
  },
  env: async (context) => {
    const { env } = await import("./commands/inspect.ts");
    return env(context).then(() => 0);
  },
  preview: async (context, args) => {
    const { preview } = await import("./commands/preview.ts");
    return preview(context, args.join(" ")).then(() => 0);
  },
  bench: async (context) => {
    const { bench } = await import("./commands/bench.ts");
    return bench(context).then(() => 0);
  },
  test: async (context, args) => {
    const { isLevel, levels, test } = await import("./commands/test.ts");
    const unknown = args.find((word) => !isLevel(word));
    if (unknown !== undefined) {
      throw new Error(`unknown level "${unknown}": use ${Object.keys(levels).join(", ")}`);
    }
    const wanted = args.filter(isLevel);
    return test(context.checkout, wanted.length > 0 ? wanted : Object.keys(levels).filter(isLevel));
  },
};

const [word = "", ...args] = process.argv.slice(2);
const command = commands[word];
const context = makeContext(checkout);
const signals: NodeJS.Signals[] = [];
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    signals.push(signal);
    context.abort();
  });
}

if (command === undefined) {
  process.stderr.write(`Commands: ${Object.keys(commands).join(", ")}. See make help.\n`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await command(context, args);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const interrupted = signals.length > 0;
    process.stderr.write(
      interrupted ? "\nInterrupted. Run the same command again: it goes on.\n" : `\n${text}\n`,
    );
    process.exitCode = interrupted ? 130 : 1;
  }
}
