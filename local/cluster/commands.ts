import { execFile, type ExecFileException } from "node:child_process";

/** A command's end, whatever its exit code. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a short command to its end. It cannot start: rejects. */
export function outcome(
  command: string,
  args: readonly string[],
  options: { input?: string; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<Outcome> {
  return new Promise((done, fail) => {
    const child = execFile(
      command,
      [...args],
      {
        env: options.env ?? process.env,
        timeout: options.timeoutMs ?? 120_000,
        maxBuffer: 256 * 1024 * 1024,
      },
      (error: ExecFileException | null, stdout, stderr) => {
        if (error !== null && typeof error.code === "string")
          fail(new Error(`cannot run ${command}: ${error.message}`, { cause: error }));
        else done({ code: exitCode(error), stdout, stderr });
      },
    );
    child.stdin?.on("error", () => undefined).end(options.input ?? "");
  });
}

/** Runs a short command and gives its output. @throws with the command's own words when it fails. */
export async function output(
  command: string,
  args: readonly string[],
  options: Parameters<typeof outcome>[2] = {},
): Promise<string> {
  const { code, stdout, stderr } = await outcome(command, args, options);
  if (code !== 0) {
    const words = stderr.trim() === "" ? stdout.trim() : stderr.trim();
    throw new Error(`${command} ${args.join(" ")} failed (exit code ${code}): ${words}`);
  }
  return stdout;
}

function exitCode(error: ExecFileException | null): number {
  if (error === null) return 0;
  return typeof error.code === "number" ? error.code : 1;
}
