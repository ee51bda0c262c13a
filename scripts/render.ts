import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { stringify } from "yaml";
import { kubernetesObjects, redact, runProgram, stackFile } from "../tests/support/program";

/** Image digests and generated names are known only after `pulumi up`; this says so in each file. */
const HEADER = "# Rendered without a cluster: image digests and name suffixes are placeholders.\n";

/** Loads the program only once its configuration is set. */
const load = createRequire(__filename);

/** Writes the Kubernetes objects of a stack as YAML files, one an object. */
async function render(stack: string, out: string): Promise<void> {
  const run = await runProgram(stackFile(stack), () =>
    Promise.resolve({ ...(load("../index") as Record<string, unknown>) }),
  );
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const objects = kubernetesObjects(run);
  for (const object of objects) {
    const { kind, metadata } = object as { kind: string; metadata: { name: string } };
    const file = `${kind.toLowerCase()}-${metadata.name}.yaml`;
    writeFileSync(join(out, file), HEADER + stringify(redact(object)));
  }
  console.log(`${String(objects.length)} objects of stack ${stack} in ${out}`);
}

const [stack, out] = process.argv.slice(2);
if (stack === undefined || out === undefined) {
  console.error("usage: make render STACK=<name> OUT=<dir>");
  process.exitCode = 2;
} else {
  render(stack, out).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
