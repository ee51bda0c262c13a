import type * as pulumi from "@pulumi/pulumi";
import type { Registered } from "./program";
import { runProgram } from "./program";

/** Runs a component alone and returns its children, without itself. */
export async function children(
  make: () => pulumi.ComponentResource,
): Promise<readonly Registered[]> {
  const { resources } = await runProgram({ stack: "test", settings: {} }, () => {
    make();
    return Promise.resolve({});
  });
  return resources.filter(({ type }) => !type.startsWith("llmops:"));
}

/** `Kind name < parent` of each resource. */
export const summary = (resources: readonly Registered[]): string[] =>
  resources.map(
    ({ type, name, parent }) => `${type.split(":").at(-1) ?? type} ${name} < ${parent ?? "-"}`,
  );
