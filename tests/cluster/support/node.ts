import { join } from "node:path";
import { childOf, liveAnchor } from "../../../local/cluster/anchor.ts";
import { clusterPaths } from "../../../local/cluster/options.ts";
import { ROOT } from "../../support/program";
import type { Place } from "../../support/servers/server";

const paths = clusterPaths(join(ROOT, ".local"));

/** Folder of this machine behind the node's `/mnt/llamafactory`. */
export const VOLUMES = paths.volumes;

/** Folder of this machine behind `model-output-pvc`. */
export const MODELS_VOLUME = join(VOLUMES, "models");

/** The network of the platform's node; its address is one that pods reach. @throws where no platform runs. */
export function nodePlace(address: string): Place {
  const anchor = liveAnchor(paths.clusterAnchor);
  const inside = anchor === undefined ? undefined : childOf(anchor.pid);
  if (inside === undefined) throw new Error("no platform runs in this checkout: make local");
  return { address, enter: ["nsenter", `--net=/proc/${inside}/ns/net`, "--"] };
}
