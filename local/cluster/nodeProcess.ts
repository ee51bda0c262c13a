import { join } from "node:path";

import { inside } from "./options.ts";
import type { ClusterTools } from "./options.ts";

/** How to tell that a process does its work. */
export type Probe =
  | { readonly kind: "tcp"; readonly port: number }
  | { readonly kind: "socket"; readonly path: string }
  | { readonly kind: "https"; readonly port: number; readonly path: string };

/** One process of the node. */
export interface NodeProcess {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Processes that must be ready before. */
  readonly after: readonly string[];
  /** Without one, a process is ready as soon as it runs; a process that runs once is ready when it has ended well. */
  readonly ready?: Probe;
  /**
   * Runs once: `needed` again after a failure, `tried` whatever comes of it. Others run for ever and are started again
   * whenever they end.
   */
  readonly once?: "needed" | "tried";
}

/** What the process table depends on. */
export interface ProcessInput {
  readonly tools: ClusterTools;
  readonly nodeAddress: string;
  /** Program and script of the node's own agent. */
  readonly agent: readonly [string, ...string[]];
  /** Image archives, by image name. */
  readonly images: Readonly<Record<string, string>>;
}

/** Flags by which a control-plane process acts as its own user. */
export function asUser(name: string): Record<string, string> {
  const file = pki(`${name}.kubeconfig`);
  return { kubeconfig: file, "authentication-kubeconfig": file, "authorization-kubeconfig": file };
}

/** Long flags with values. */
export function flags(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}

/** A file of keys or certificates, as seen inside. */
export function pki(file: string): string {
  return join(inside.pki, file);
}

/** A configuration file, as seen inside. */
export function configFile(file: string): string {
  return join(inside.config, file);
}
