import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { succeed } from "./measure.ts";
import { ROOT } from "./stack.ts";

/** Another tool's command that tells what an update would change, over objects that are as it wants them. */
export interface Peer {
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Writes the Kubernetes objects of the stack `prod` as files, as `make render` does. Gives their number. */
export async function renderProd(folder: string): Promise<number> {
  const script = ["--require", "./scripts/typescript.cjs", join("scripts", "render.ts")];
  const at = { cwd: ROOT, env: process.env };
  await succeed([process.execPath, ...script, "prod", folder], at);
  return (await readdir(folder)).length;
}

/** `kubectl diff` over rendered objects, which it has applied. */
export async function kubectlDiff(kubeconfig: string, rendered: string): Promise<Peer> {
  const at = { cwd: rendered, env: { ...process.env, KUBECONFIG: kubeconfig } };
  const serverSide = ["--server-side", "--force-conflicts", "-f"];
  for (const files of ["namespace-llmops.yaml", "."]) {
    await succeed(["kubectl", "apply", ...serverSide, files], at);
  }
  const command = ["kubectl", "diff", ...serverSide, "."];
  return { ...at, name: "kubectl diff --server-side", command };
}
