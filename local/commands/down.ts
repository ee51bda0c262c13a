import { rm } from "node:fs/promises";

import { stopCluster } from "../cluster/start.ts";
import { endLeftovers } from "../toolchain/leftovers.ts";
import { officialOrBuilt } from "../toolchain/pulumi.ts";
import { run } from "../toolchain/run.ts";
import { releaseSlot } from "../toolchain/slots.ts";
import { commandFolder, findPlatform, platformEnvironment, slotRecord } from "./context.ts";
import type { Context } from "./context.ts";
import { stackEnvironment } from "./stack.ts";

/** Removes every trace of this checkout's platform but the cache, whatever state it is in. */
export async function down(context: Context): Promise<void> {
  const platform = damagedCounts(() => findPlatform(context));
  await endLeftovers(context.instance);
  if (platform?.kind === "external") {
    const pulumi = await officialOrBuilt(context.tools, commandFolder(context));
    const stack = ["--stack", "local", "--config-file", context.folders.stackFile];
    await run(
      pulumi.command,
      ["--non-interactive", "destroy", "--yes", "--skip-preview", ...stack],
      {
        what: `removing the stack local from the cluster of the context ${platform.context}`,
        remedy: "mend the cause and run make local-down again",
        cwd: context.checkout,
        env: stackEnvironment(context.folders, pulumi, platformEnvironment(context, platform)),
      },
    );
  }
  await stopCluster({ instance: context.instance, stateDir: context.folders.root });
  releaseSlot(slotRecord(context));
  await rm(context.folders.root, { recursive: true, force: true });
  process.stdout.write("The platform of this checkout is gone.\n");
}

/** A record that an interruption left half-written must not keep anything from being removed. */
function damagedCounts<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return undefined;
  }
}
