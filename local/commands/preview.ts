import { delimiter, join } from "node:path";

import { previewMarkdown } from "../preview/markdown.ts";
import { parsePreview } from "../preview/steps.ts";
import { ensurePulumi } from "../toolchain/pulumi.ts";
import { run } from "../toolchain/run.ts";
import { findPlatform, platformEnvironment, pulumiFolders } from "./context.ts";
import type { Context } from "./context.ts";
import { stackEnvironment } from "./stack.ts";

/** Prints what an update of a stack would change, as the Markdown of a pull request's comment. */
export async function preview(context: Context, stack: string): Promise<void> {
  if (!/^[\w./-]+$/.test(stack)) {
    throw new Error("Which stack?\n  what to do: make preview STACK=prod");
  }
  const { args, env, command } = await engine(context, stack);
  const json = await run(command, ["--non-interactive", "preview", "--json", ...args], {
    what: `pulumi preview of the stack ${stack}`,
    remedy: "the lines above name the setting or the object; for a backend, see pulumi login",
    cwd: context.checkout,
    env,
    log: join(context.folders.logs, `preview-${stack.replaceAll("/", "-")}.log`),
  });
  process.stdout.write(previewMarkdown(stack, parsePreview(json)));
}

/** The stack `local` lives in this checkout's platform; every other one in the backend that the user works with. */
async function engine(
  context: Context,
  stack: string,
): Promise<{ args: readonly string[]; env: NodeJS.ProcessEnv; command: string }> {
  const pulumi = await ensurePulumi(context.tools, pulumiFolders(context));
  const platform = findPlatform(context);
  if (stack === "local" && platform !== undefined) {
    const env = stackEnvironment(context.folders, pulumi, platformEnvironment(context, platform));
    const args = ["--stack", stack, "--config-file", context.folders.stackFile];
    return { args, env, command: pulumi.command };
  }
  const path = [...pulumi.path, process.env["PATH"] ?? ""].join(delimiter);
  const env = { ...process.env, PATH: path, PULUMI_SKIP_UPDATE_CHECK: "true" };
  return { args: ["--stack", stack], env, command: pulumi.command };
}
