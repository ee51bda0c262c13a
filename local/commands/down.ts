import { rm } from "node:fs/promises";

import { stopCluster } from "../cluster/start.ts";
import { releaseSlot } from "../toolchain/slots.ts";
import { slotRecord } from "./context.ts";
import type { Context } from "./context.ts";

/** Removes every trace of this checkout's platform but the cache, whatever state it is in. */
export async function down(context: Context): Promise<void> {
  await stopCluster({ instance: context.instance, stateDir: context.folders.root });
  releaseSlot(slotRecord(context));
  await rm(context.folders.root, { recursive: true, force: true });
  process.stdout.write("The platform of this checkout is gone.\n");
}
