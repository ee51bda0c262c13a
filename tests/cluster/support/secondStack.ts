import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Outputs } from "./models";
import type { Outcome } from "./platform";
import { copyProgram, editStackFile, run, setSecret, tryRun } from "./platform";

/** Settings of a stack by their keys, such as `llmops:models`. */
export type StackSettings = Record<string, unknown>;

/** Answers what Pulumi would ask before it changes anything. */
const CONFIRMED = "export PULUMI_SKIP_CONFIRMATIONS=true";

/**
 * Another stack of the program, in the state and on the cluster of the running platform, and in a checkout of its own:
 * there the commands of the documents work as they stand. Stack and namespace have the same name.
 */
export class SecondStack {
  readonly #folder = copyProgram();

  private constructor(
    public readonly name: string,
    settings: StackSettings,
  ) {
    writeFileSync(this.#stackFile, stringify({ config: settings }));
  }

  /** Makes the stack; it has no resources yet. */
  public static async create(name: string, settings: StackSettings): Promise<SecondStack> {
    const stack = new SecondStack(name, settings);
    await stack.succeed(`pulumi stack init ${name}`);
    return stack;
  }

  get #stackFile(): string {
    return join(this.#folder, `Pulumi.${this.name}.yaml`);
  }

  /** Writes a file of the project. */
  public write(file: string, text: string): void {
    writeFileSync(join(this.#folder, file), text);
  }

  /** Changes the settings. */
  public edit(change: (config: StackSettings) => void): void {
    editStackFile(change, this.#stackFile);
  }

  /** Sets a secret. */
  public setSecret(key: string, value: string): Promise<void> {
    return setSecret(key, value, [this.name, this.#stackFile]);
  }

  /** Runs commands as they would be typed in the checkout; the first one that fails is the last. */
  public try(commands: string): Promise<Outcome> {
    return tryRun(this.#folder, "bash", "-euo", "pipefail", "-c", `${CONFIRMED}\n${commands}`);
  }

  /** {@link try}, for commands that must succeed; gives what they printed. */
  public async succeed(commands: string): Promise<string> {
    const { code, text } = await this.try(commands);
    if (code !== 0) throw new Error(`${commands}\nfailed:\n${text.slice(-4000)}`);
    return text;
  }

  /** `kubectl`, in the namespace. */
  public kubectl(...args: string[]): Promise<string> {
    return run(this.#folder, "kubectl", "--namespace", this.name, ...args);
  }

  /** Objects of these kinds in the namespace. */
  public async list<T>(kinds: string, ...args: string[]): Promise<readonly T[]> {
    const text = await this.kubectl("get", kinds, "-o", "json", ...args);
    return (JSON.parse(text) as { items: T[] }).items;
  }

  /** What the stack tells about itself, the API key included. */
  public async outputs(): Promise<Outputs> {
    const args = ["stack", "output", "--json", "--show-secrets"];
    return JSON.parse(await run(this.#folder, "pulumi", ...args)) as Outputs;
  }

  /** Forgets the stack, if it is there still, and removes the checkout. What is in the cluster stays. */
  public async remove(): Promise<void> {
    await this.try(`pulumi stack rm ${this.name} --force`);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
