import * as pulumi from "@pulumi/pulumi";
import type { ProgramRun, StackInput } from "./program";
import { runProgram } from "./program";

/** Runs the whole program, index.ts, with a stack's configuration; a fresh copy of it each time. */
export async function runStack(input: StackInput): Promise<ProgramRun> {
  return runProgram(input, async () => {
    const outputs: { value?: Record<string, unknown> } = {};
    await jest.isolateModulesAsync(async () => {
      jest.doMock("@pulumi/pulumi", () => pulumi);
      outputs.value = await import("../../index");
    });
    return { ...outputs.value };
  });
}
