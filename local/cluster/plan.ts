import { readFileSync } from "node:fs";

import type { Link } from "./options.ts";
import type { NodeProcess } from "./nodeProcess.ts";

/** What the node program is told by the program that started it. */
export interface NodePlan {
  readonly link: Link;
  /** When the node was started. */
  readonly startedAt: string;
  readonly stateDir: string;
  readonly slotDir: string;
  readonly debsRoot: string;
  /** Folders that the node needs, wherever they are: they stay visible when the machine's own folders are covered. */
  readonly keep: readonly string[];
  readonly processes: readonly NodeProcess[];
}

/** Reads a plan that this code wrote. */
export function readPlan(file: string): NodePlan {
  return JSON.parse(readFileSync(file, "utf8")) as NodePlan;
}
