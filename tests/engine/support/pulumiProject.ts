import { spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { until } from "../../../local/cluster/poll";
import { stateUrl } from "../../../local/commands/stack";
import { nameOf, parsePreview } from "../../../local/preview/steps";
import { installStandins } from "../../../local/standins/install";
import { sessionMembers, toolsEnvironment } from "./processes";

const repository = resolve(__dirname, "../../..");

/** How a command of the Pulumi CLI ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Everything it printed. */
  readonly text: string;
}

/** How many resources of each kind of step, the stack itself included. */
export type Steps = Record<string, number>;

/** A step of a plan: what happens to which resource, and for which properties. */
export interface Step {
  readonly op: string;
  readonly name: string;
  readonly replaceReasons: readonly string[];
}

/** A Pulumi program of a test, in a folder with a state of its own, run by the real CLI. */
export class PulumiProject {
  readonly folder: string;
  private readonly env: NodeJS.ProcessEnv;
  /** Sessions of the commands that were run: one each, which its plugins share. */
  private readonly sessions: number[] = [];

  private constructor(folder: string, env: NodeJS.ProcessEnv) {
    this.folder = folder;
    this.env = env;
  }

  /** Makes the folder, the stack `test` and the stand-ins' launchers. */
  static async create(env: NodeJS.ProcessEnv = {}): Promise<PulumiProject> {
    const folder = await mkdtemp(join(tmpdir(), "llmops-pulumi-"));
    const bin = join(folder, "bin");
    const node = join(repository, "node_modules", ".bin", "node");
    await installStandins(bin, node, join(repository, "local", "standins"));
    await mkdir(join(folder, "state"));
    await symlink(join(repository, "node_modules"), join(folder, "node_modules"));
    await writeFile(join(folder, "Pulumi.yaml"), "name: test\nruntime: nodejs\n");
    await writeFile(join(folder, "package.json"), '{ "name": "test", "main": "index.ts" }\n');
    const compilerOptions = { target: "es2022", module: "node16", skipLibCheck: true };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions }));
    const tools = { ...toolsEnvironment(), ...env };
    const project = new PulumiProject(folder, {
      ...tools,
      PATH: `${bin}:${tools["PATH"] ?? ""}`,
      PULUMI_HOME: join(folder, "home"),
      PULUMI_BACKEND_URL: stateUrl(join(folder, "state")),
      PULUMI_CONFIG_PASSPHRASE: "test",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    });
    await project.succeed("stack", "init", "test");
    return project;
  }

  /** Removes the folder, once the plugins of the last command have ended: they outlive a killed one for a moment. */
  async remove(): Promise<void> {
    for (const session of this.sessions) {
      await until(`the end of the plugins of pulumi ${String(session)}`, 60, () =>
        sessionMembers(session).length === 0 ? true : undefined,
      );
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Has the program import from the folders of this repository. */
  async linkSources(): Promise<void> {
    await copyFile(join(repository, "tsconfig.json"), join(this.folder, "tsconfig.json"));
    for (const name of ["components", "config", "workloads", "tests"]) {
      await symlink(join(repository, name), join(this.folder, name));
    }
  }

  /** Sets the program. */
  async program(source: string): Promise<void> {
    await writeFile(join(this.folder, "index.ts"), source);
  }

  /** Runs the CLI. */
  run(...args: string[]): Promise<Outcome> {
    return this.start(...args).ended;
  }

  /** Starts the CLI, to be sent signals. */
  start(...args: string[]): { signal: (name: NodeJS.Signals) => void; ended: Promise<Outcome> } {
    const all = [...args, "--non-interactive", "--color=never"];
    const child = spawn("pulumi", all, { cwd: this.folder, env: this.env, detached: true });
    if (child.pid !== undefined) this.sessions.push(child.pid);
    const ended = new Promise<Outcome>((done, reject) => {
      const printed = { stdout: "", stderr: "" };
      child.stdout.on("data", (chunk: Buffer) => (printed.stdout += chunk.toString("utf8")));
      child.stderr.on("data", (chunk: Buffer) => (printed.stderr += chunk.toString("utf8")));
      child.on("error", reject);
      child.on("close", (code) => {
        done({ code: code ?? -1, ...printed, text: printed.stdout + printed.stderr });
      });
    });
    return { signal: (name) => void child.kill(name), ended };
  }

  /** Runs the CLI and fails with what it printed unless it succeeds. */
  async succeed(...args: string[]): Promise<Outcome> {
    const outcome = await this.run(...args);
    if (outcome.code !== 0) {
      throw new Error(`pulumi ${args.join(" ")} failed:\n${outcome.text}`);
    }
    return outcome;
  }

  /** `pulumi up`, which must succeed. */
  up(): Promise<Outcome> {
    return this.succeed("up", "--yes", "--skip-preview", "--suppress-progress");
  }

  /** `pulumi up`, which may fail. */
  tryUp(): Promise<Outcome> {
    return this.run("up", "--yes", "--skip-preview", "--suppress-progress");
  }

  /** The steps that an update would take. */
  async plan(): Promise<Step[]> {
    const { stdout } = await this.succeed("preview", "--json");
    return parsePreview(stdout)
      .filter(({ urn }) => !/(::|\$)pulumi:/.test(urn))
      .map(({ op, urn, replaceReasons }) => ({
        op,
        name: nameOf(urn),
        replaceReasons: replaceReasons ?? [],
      }));
  }

  /** How many steps of each kind an update would take, the stack itself included. */
  async planned(): Promise<Steps> {
    const { stdout } = await this.succeed("preview", "--json");
    return (JSON.parse(stdout) as { changeSummary: Steps }).changeSummary;
  }

  /** The stack's outputs, with secrets. */
  async outputs(): Promise<Record<string, unknown>> {
    const { stdout } = await this.succeed("stack", "output", "--json", "--show-secrets");
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  /** Takes the lock of a killed command away. */
  unlock(): Promise<Outcome> {
    return this.succeed("cancel", "--yes");
  }

  /** The text of the state file as it is stored. */
  async state(): Promise<string> {
    const file = join(this.folder, "state", ".pulumi", "stacks", "test", "test.json");
    return readFile(file, "utf8");
  }
}
