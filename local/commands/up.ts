import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Progress } from "../progress.ts";
import { cacheRoot } from "../toolchain/paths.ts";
import { preflight, renderFaults } from "../toolchain/preflight.ts";
import { pulumiOnPath } from "../toolchain/pulumi.ts";
import type { PulumiTool } from "../toolchain/pulumi.ts";
import { takeSlot } from "../toolchain/slots.ts";
import { chat, isTaught, readLesson } from "./chat.ts";
import {
  clusterTools,
  linkCommands,
  platformEnvironment,
  platformFile,
  slotRecord,
} from "./context.ts";
import type { Context, Platform } from "./context.ts";
import { parts } from "./parts.ts";
import { ensureStack, pulumiUp, stackEnvironment, stackOutputs } from "./stack.ts";
import type { StackOutputs } from "./stack.ts";
import { modelAddress, summary } from "./summary.ts";

const lessonFile = "examples/lumen7/expect.json";

/** The whole platform on this machine, from whatever is there already to the tuned model's answer. */
export async function up(context: Context): Promise<void> {
  const { cold } = await check(context);
  const wasRunning = existsSync(platformFile(context));
  mkdirSync(context.folders.logs, { recursive: true });
  const steps = 8 + clusterTools.length + 1;
  const timings = join(cacheRoot(), "timings.json");
  const progress = new Progress({ total: steps, timings });
  try {
    const slot = await takeSlot(slotRecord(context));
    const { pulumi, platform } = await parts(context, progress, slot);
    await linkCommands(context, {
      docker: platform.builder.dockerClient,
      kubectl: join(await context.tools.folder("kubernetes"), "bin", "kubectl"),
    });
    writeFileSync(platformFile(context), JSON.stringify(platform, null, 2));
    const outputs = await program(context, progress, pulumi, platform);
    const address = platform.cluster.nodeAddress;
    const lesson = readLesson(join(context.checkout, lessonFile));
    const answer = await progress.step(
      { id: "answer", label: "ask the tuned model", guess: 5 },
      async () => {
        const text = await chat(modelAddress(outputs, address), lesson.question);
        if (isTaught(text, lesson)) return text;
        throw new Error(
          `The tuned model does not answer as taught.\n  question: ${lesson.question}\n  answer: ${text}\n` +
            `  missing: ${lesson.taught}\n  what to do: look at the training run in MLflow; make status prints its address`,
        );
      },
    );
    const kind = cold ? "cold" : wasRunning ? "again" : "warm";
    progress.finish({ command: "make local", kind });
    process.stdout.write(`\n${summary({ outputs, address, lesson, answer, pulumi })}\n`);
  } catch (error) {
    context.abort();
    throw error;
  } finally {
    progress.stop();
    progress.save();
  }
}

/** Refuses a machine that cannot run the platform, with all reasons at once. */
async function check(context: Context): Promise<{ cold: boolean }> {
  const needed = [...clusterTools, ...((await pulumiOnPath()) === undefined ? ["pulumi"] : [])];
  const held = await Promise.all(needed.map(hasTool(context)));
  const cold = held.includes(false);
  const warmImages = existsSync(join(cacheRoot(), "slots", "1", "docker"));
  const running = existsSync(platformFile(context));
  const faults = await preflight({
    disk: [
      { folder: cacheRoot(), gib: cold || !warmImages ? 30 : 6 },
      { folder: context.folders.root, gib: 3 },
    ],
    memoryGib: 12,
    freeMemoryGib: running ? 2 : 8,
    cores: 2,
    go: cold,
  });
  if (faults.length > 0) throw new Error(renderFaults(faults));
  return { cold };
}

/** Without Go no tool's cache key is known: then none counts as there. */
function hasTool(context: Context): (name: string) => Promise<boolean> {
  return (name) => context.tools.has(name).catch(() => false);
}

async function program(
  context: Context,
  progress: Progress,
  pulumi: PulumiTool,
  platform: Platform,
): Promise<StackOutputs> {
  const env = stackEnvironment(context.folders, pulumi, platformEnvironment(context, platform));
  const step = { id: "pulumi-up", label: "pulumi up", guess: 600 };
  await progress.step(step, async (handle) => {
    await ensureStack(context.folders, pulumi.command, env);
    await pulumiUp(context.folders, pulumi.command, env, (line) => {
      const news = newsOf(line);
      if (news !== undefined) handle.note(news);
    });
  });
  return stackOutputs(context.folders, pulumi.command, env);
}

/**
 * What a line of Pulumi's output says that a user wants to see: a resource is done, or something is wrong. Everything
 * else is in the log.
 */
export function newsOf(line: string): string | undefined {
  const resource =
    /^\s*[-+~]{1,2}\s+(\S+)\s+(\S+)\s+\*{0,2}(created|updated|deleted|replaced|\w+ failed)\b/.exec(
      line,
    );
  const [, type = "", name = "", done = ""] = resource ?? [];
  if (resource !== null) return `${done} ${type.split(":").at(-1) ?? type} ${name}`;
  const fault = /^\s*((?:error|warning): .*)/.exec(line)?.[1];
  return fault?.startsWith("warning: using pulumi-") === true ? undefined : fault;
}
