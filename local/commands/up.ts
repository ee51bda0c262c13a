import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { replaceFile } from "../files.ts";
import { Progress } from "../progress.ts";
import { fullDisks, watchDisks } from "../toolchain/disk.ts";
import { markProcesses } from "../toolchain/leftovers.ts";
import { cacheRoot } from "../toolchain/paths.ts";
import { preflight, renderFaults } from "../toolchain/preflight.ts";
import { pulumiOnPath } from "../toolchain/pulumi.ts";
import type { PulumiTool } from "../toolchain/pulumi.ts";
import { slotIsWarm, takeSlot } from "../toolchain/slots.ts";
import { chat, isTaught, readLesson } from "./chat.ts";
import {
  clusterTools,
  findPlatform,
  platformEnvironment,
  platformFile,
  slotRecord,
} from "./context.ts";
import type { Context, Platform } from "./context.ts";
import { parts } from "./parts.ts";
import { clearLocks, ensureStack, pulumiUp, stackEnvironment, stackOutputs } from "./stack.ts";
import type { Override } from "./stack.ts";
import { modelAddress, summary } from "./summary.ts";

const lessonFile = "examples/lumen7/expect.json";

/** The whole platform on this machine, from whatever is there already to the tuned model's answer. */
export async function up(context: Context): Promise<void> {
  if (findPlatform(context)?.kind === "external") {
    throw new Error(
      "This checkout's stack is on a cluster of your own.\n" +
        "  what to do: make local CONTEXT=<name> to go on there, or make local-down first.",
    );
  }
  const { cold } = await check(context);
  const kind = cold ? "cold" : existsSync(platformFile(context)) ? "again" : "warm";
  await withProgress(context, 9 + clusterTools.length, kind, async (progress) => {
    const slot = await takeSlot(slotRecord(context));
    const { pulumi, platform } = await parts(context, progress, slot);
    return program(context, progress, pulumi, platform);
  });
}

/** Runs steps with progress; what `work` gives is printed after the table of times. */
export async function withProgress(
  context: Context,
  total: number,
  kind: string,
  work: (progress: Progress) => Promise<string>,
): Promise<void> {
  markProcesses(context.instance);
  mkdirSync(context.folders.logs, { recursive: true });
  const progress = new Progress({ total, timings: join(cacheRoot(), "timings.json") });
  try {
    const closing = await work(progress);
    progress.finish({ command: "make local", kind });
    process.stdout.write(`\n${closing}\n`);
  } catch (error) {
    context.abort();
    progress.stop();
    const full = fullDisks(diskFolders(context));
    if (full.length === 0) progress.save();
    if (full.length === 0 || !(error instanceof Error)) throw error;
    throw new Error([error.message, ...full].join("\n\n"), { cause: error });
  }
}

/** Folders whose disks fill while the platform is made and runs. */
function diskFolders(context: Context): readonly string[] {
  return [cacheRoot(), context.folders.root];
}

/** Refuses a machine that cannot run the platform, with all reasons at once. */
async function check(context: Context): Promise<{ cold: boolean }> {
  const needed = [...clusterTools, ...((await pulumiOnPath()) === undefined ? ["pulumi"] : [])];
  const held = await Promise.all(needed.map(hasTool(context)));
  const cold = held.includes(false);
  const warmImages = await slotIsWarm(slotRecord(context));
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

/** `pulumi up` on a platform that is ready, and the closing question; gives the text to end with. */
export async function program(
  context: Context,
  progress: Progress,
  pulumi: PulumiTool,
  platform: Platform,
  overrides: readonly Override[] = [],
): Promise<string> {
  replaceFile(platformFile(context), JSON.stringify(platform, null, 2));
  const env = stackEnvironment(context.folders, pulumi, platformEnvironment(context, platform));
  const step = { id: "pulumi-up", label: "pulumi up", guess: 600 };
  await progress.step(step, async (handle) => {
    await clearLocks(context.folders, handle.note);
    await ensureStack(context.folders, pulumi.command, env, overrides);
    const onLine = (line: string): void => {
      const news = newsOf(line);
      if (news !== undefined) handle.note(news);
    };
    const full = new AbortController();
    const endWatch = watchDisks(diskFolders(context), () => {
      handle.note("a disk is full: ending the update");
      full.abort();
    });
    const interrupt = AbortSignal.any([context.signal, full.signal]);
    await pulumiUp(context.folders, pulumi.command, env, { interrupt, onLine }).finally(endWatch);
  });
  const outputs = await stackOutputs(context.folders, pulumi.command, env);
  const address = platform.nodeAddress;
  const lesson = readLesson(join(context.checkout, lessonFile));
  const question = { id: "answer", label: "ask the tuned model", guess: 5 };
  const answer = await progress.step(question, async () => {
    const text = await chat(modelAddress(outputs, address), lesson.question);
    if (isTaught(text, lesson)) return text;
    throw new Error(
      `The tuned model does not answer as taught.\n  question: ${lesson.question}\n  answer: ${text}\n` +
        `  missing: ${lesson.taught}\n  what to do: look at the training run in MLflow; make status prints its address`,
    );
  });
  return summary({ outputs, address, lesson, answer, pulumi });
}

/**
 * What a line of Pulumi's output says that a user wants to see: how far the training is, a resource is done, or something
 * is wrong. Everything else is in the log.
 */
export function newsOf(line: string): string | undefined {
  const training = /\sllmops:index:TrainingJob\s.*\s(step \d+ of \d+.*)$/.exec(line)?.[1];
  if (training !== undefined) return `training: ${training}`;
  const resource =
    /^\s*[-+~]{1,2}\s+(\S+)\s+(\S+)\s+\*{0,2}(created|updated|deleted|replaced|\w+ failed)\b/.exec(
      line,
    );
  const [, type = "", name = "", done = ""] = resource ?? [];
  if (resource !== null) return `${done} ${type.split(":").at(-1) ?? type} ${name}`;
  const fault = /^\s*((?:error|warning): .*)/.exec(line)?.[1];
  return fault?.startsWith("warning: using pulumi-") === true ? undefined : fault;
}
