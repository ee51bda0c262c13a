import { officialOrBuilt } from "../toolchain/pulumi.ts";
import { run } from "../toolchain/run.ts";
import { chat } from "./chat.ts";
import { commandFolder, platformEnvironment, readPlatform } from "./context.ts";
import type { Context, Platform } from "./context.ts";
import { NotUp, stackEnvironment, stackOutputs } from "./stack.ts";
import type { StackOutputs } from "./stack.ts";
import { addresses, modelAddress } from "./summary.ts";

const shown = ["PATH", "KUBECONFIG", "DOCKER_HOST"] as const;

/** Asks the first model of the platform. */
export async function ask(context: Context, question: string): Promise<void> {
  if (question.trim() === "") {
    throw new Error('What is the question?\n  what to do: make ask Q="Who makes the Lumen7?"');
  }
  const { outputs, address } = await running(context);
  const answer = await chat(modelAddress(outputs, address), question);
  process.stdout.write(`${answer}\n`);
}

/** Prints the pods and the addresses of the platform. */
export async function status(context: Context): Promise<void> {
  const { platform, outputs, address, env } = await running(context);
  const pods = await run(
    "kubectl",
    ["--context", platform.context, "get", "pods", "--all-namespaces"],
    {
      what: "asking the cluster for its pods",
      remedy: "make local",
      env,
    },
  );
  process.stdout.write(`${pods}\n\nOpen:\n${addresses(outputs, address).join("\n")}\n`);
}

/** Prints the exports with which pulumi, kubectl and docker work on this platform, whether its stack is up or not. */
export async function env(context: Context): Promise<void> {
  const stack = await localStack(context);
  const exported: Record<string, string | undefined> = { STACK_FILE: context.folders.stackFile };
  for (const [name, value] of Object.entries(stack.env)) {
    if (name.startsWith("PULUMI_") || shown.some((each) => each === name)) exported[name] = value;
  }
  try {
    const outputs = await stackOutputs(context.folders, stack.command, stack.env);
    const { url, apiKey } = modelAddress(outputs, stack.platform.nodeAddress);
    Object.assign(exported, { OPENAI_BASE_URL: url, OPENAI_API_KEY: apiKey });
  } catch (error) {
    if (!(error instanceof NotUp)) throw error;
  }
  const lines = Object.entries(exported).map(
    ([name, value]) => `export ${name}='${(value ?? "").replaceAll("'", `'\\''`)}'`,
  );
  process.stdout.write(
    `${lines.join("\n")}\n# pulumi preview --stack local --config-file "$STACK_FILE"\n`,
  );
}

interface LocalStack {
  readonly platform: Platform;
  /** The Pulumi CLI. */
  readonly command: string;
  readonly env: NodeJS.ProcessEnv;
}

async function localStack(context: Context): Promise<LocalStack> {
  const platform = readPlatform(context);
  const { command, path } = await officialOrBuilt(context.tools, commandFolder(context));
  const variables = platformEnvironment(context, platform);
  return { platform, command, env: stackEnvironment(context.folders, { path }, variables) };
}

/** The running platform with what its stack says about itself. */
export async function running(
  context: Context,
): Promise<LocalStack & { readonly outputs: StackOutputs; readonly address: string }> {
  const stack = await localStack(context);
  const outputs = await stackOutputs(context.folders, stack.command, stack.env);
  return { ...stack, outputs, address: stack.platform.nodeAddress };
}
