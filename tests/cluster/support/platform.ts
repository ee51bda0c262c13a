import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parse, stringify } from "yaml";
import { nameOf, parsePreview } from "../../../local/preview/steps.ts";
import { until } from "../../../local/cluster/poll.ts";
import { ROOT } from "../../support/program";

const execute = promisify(execFile);

/** Stack file of the running platform: the committed one with its own salt. */
export const STACK_FILE = join(ROOT, ".local", "Pulumi.local.yaml");

/** State of the stack as Pulumi stores it. */
export const STATE_FILE = join(
  ROOT,
  ".local",
  "pulumi",
  "state",
  ".pulumi",
  "stacks",
  "llmops",
  "local.json",
);

/** How a command ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly text: string;
}

let environment: Promise<NodeJS.ProcessEnv> | undefined;

/** The environment that `make env` gives to users, asked for once. */
function platformEnvironment(): Promise<NodeJS.ProcessEnv> {
  const print = `"$0" -p 'JSON.stringify(process.env)'`;
  const words = `eval "$(make -s -C '${ROOT}' env)" && ${print}`;
  environment ??= execute("bash", ["-c", words, process.execPath]).then(
    ({ stdout }) => JSON.parse(stdout) as NodeJS.ProcessEnv,
  );
  return environment;
}

/** Runs a command with the environment that `make env` gives to users. */
export async function tryRun(cwd: string, command: string, ...args: string[]): Promise<Outcome> {
  const env = await platformEnvironment();
  try {
    const { stdout, stderr } = await execute(command, args, { cwd, env, maxBuffer: 64 << 20 });
    return { code: 0, stdout, text: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    return { code: typeof code === "number" ? code : -1, stdout, text: `${stdout}${stderr}` };
  }
}

/** {@link tryRun}, for a command that must succeed; gives what it printed. */
export async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { code, stdout, text } = await tryRun(cwd, command, ...args);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${text.slice(-4000)}`);
  return stdout;
}

/** `kubectl`, in the namespace of the platform. */
export const kubectl = (...args: string[]): Promise<string> =>
  run(ROOT, "kubectl", "--namespace", "llmops", ...args);

/** Objects of a kind in the namespace of the platform. */
export async function list<T>(kind: string, ...args: string[]): Promise<readonly T[]> {
  return (JSON.parse(await kubectl("get", kind, "-o", "json", ...args)) as { items: T[] }).items;
}

const stackArgs = ["--stack", "local", "--config-file", STACK_FILE, "--non-interactive"];

/** `pulumi`, on the stack of the platform. */
export const pulumi = (command: string, ...args: string[]): Promise<Outcome> =>
  tryRun(ROOT, "pulumi", command, ...args, ...stackArgs, "--color=never");

/** {@link until}, with a pause that suits answers which take a process each. */
export const eventually = <T>(
  what: string,
  seconds: number,
  ask: () => Promise<T | undefined>,
): Promise<T> => until(what, seconds, ask, 500);

/** A step of a preview that is no "same". */
export interface Change {
  readonly op: string;
  readonly name: string;
}

/** Copies the program, without the settings of any stack, into a folder of its own. */
export function copyProgram(): string {
  const folder = mkdtempSync(join(tmpdir(), "llmops-copy-"));
  const parts = ["index.ts", "config", "workloads", "components", "images", "examples", "scripts"];
  for (const name of [...parts, "package.json", "tsconfig.json", "Pulumi.yaml"]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** Copy of the program and of the running stack's settings: a change to it is seen by previews only. */
export class ProgramCopy {
  public readonly folder = copyProgram();

  public constructor() {
    cpSync(STACK_FILE, join(this.folder, "Pulumi.local.yaml"));
  }

  /** Changes a file of the copy. */
  public edit(file: string, change: (text: string) => string): void {
    const path = join(this.folder, file);
    const before = readFileSync(path, "utf8");
    const after = change(before);
    if (after === before) throw new Error(`the change leaves ${file} as it is`);
    writeFileSync(path, after);
  }

  /** What an update to this copy would do, apart from what stays the same. */
  public async changes(): Promise<Change[]> {
    const args = ["preview", "--json", "--stack", "local", "--non-interactive"];
    return parsePreview(await run(this.folder, "pulumi", ...args))
      .filter(({ op }) => op !== "same")
      .map(({ op, urn }) => ({ op, name: nameOf(urn) }))
      .sort((a, b) => (`${a.name} ${a.op}` < `${b.name} ${b.op}` ? -1 : 1));
  }

  public remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Changes the settings of a stack, by default of the running one, as `pulumi config set` would. */
export function editStackFile(
  change: (config: Record<string, unknown>) => void,
  stackFile = STACK_FILE,
): void {
  const file = parse(readFileSync(stackFile, "utf8")) as { config: Record<string, unknown> };
  change(file.config);
  writeFileSync(stackFile, stringify(file));
}

/** `pulumi up` of the running stack, with a change of its file before if one is given. @throws with the end of what it printed. */
export async function update(change?: (config: Record<string, unknown>) => void): Promise<void> {
  if (change !== undefined) editStackFile(change);
  const { code, text } = await pulumi("up", "--yes", "--skip-preview");
  if (code !== 0) throw new Error(text.slice(-4000));
}

/** Sets a secret of a stack, by default of the running one. It goes through a file, so that no process list shows it. */
export async function setSecret(
  key: string,
  value: string,
  [stack, stackFile]: readonly [name: string, file: string] = ["local", STACK_FILE],
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "llmops-secret-"));
  const file = join(folder, "secret");
  writeFileSync(file, value, { mode: 0o600 });
  try {
    const words = 'exec pulumi config set --secret "$1" --stack "$2" --config-file "$3" < "$4"';
    await run(ROOT, "bash", "-c", words, "bash", key, stack, stackFile, file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
