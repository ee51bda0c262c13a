import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { debianEnvironment } from "../../../local/cluster/environment.ts";
import { ROOT } from "../program";
import { ServerProcess } from "./server";
import type { ServerOptions } from "./server";

/** How a command ended. */
export interface Ended {
  readonly code: number;
  readonly text: string;
}

/** Postgres refuses to run as root; in a namespace of its own, root is somebody else. */
const AS_USER =
  process.getuid?.() === 0 ? ["unshare", "--user", "--map-user=1", "--map-group=1"] : [];

/** Postgres 15 of Debian as the image starts it, and the image's commands around it. */
export class Postgres {
  readonly #options: ServerOptions;
  readonly #env: NodeJS.ProcessEnv;
  #server: ServerProcess | undefined;

  /** Nothing is started yet. @throws where `make test` has not said where Postgres is. */
  public constructor(options: ServerOptions) {
    const root = process.env["LLMOPS_SERVERS_ROOT"];
    if (root === undefined) throw new Error("LLMOPS_SERVERS_ROOT is not set: run make test-images");
    this.#options = options;
    const debian = debianEnvironment(root);
    const programs = join(root, "usr", "lib", "postgresql", "15", "bin");
    mkdirSync(this.backups, { recursive: true });
    mkdirSync(this.volume, { recursive: true });
    this.#env = {
      ...debian,
      PATH: [programs, debian["PATH"]].join(delimiter),
      PYTHONPATH: join(ROOT, "images", "mlflow"),
      PYTHONDONTWRITEBYTECODE: "1",
      PGHOST: options.place.address,
      PGPORT: String(options.port),
      PGUSER: "mlflow",
      LLMOPS_DATABASE: "mlflow",
      LLMOPS_BACKUP_FOLDER: this.backups,
      LLMOPS_BACKUP_KEEP: "2",
      MLFLOW_DISABLE_TELEMETRY: "true",
    };
  }

  /** Folder of the dumps. */
  public get backups(): string {
    return join(this.#options.folder, "backups");
  }

  /** Folder that the image has as its volume. */
  public get volume(): string {
    return join(this.#options.folder, "volume");
  }

  /** Address of the database, without a password. */
  public get uri(): string {
    const { place, port } = this.#options;
    return `postgresql+psycopg2://mlflow@${place.address}:${port}/mlflow`;
  }

  /** Starts the server with the password of its Secret, and waits until it answers. */
  public async start(password: string): Promise<void> {
    const file = join(this.#options.folder, "password");
    writeFileSync(file, password, { mode: 0o600 });
    this.#env["PGPASSWORD"] = password;
    const words = ["-m", "llmops_mlflow", "serve", "--data", this.volume, "--password-file", file];
    const command = [...AS_USER, "python", ...words, "--listen", this.#options.place.address];
    this.#server = await ServerProcess.start(this.#options, command, this.#env);
    for (;;) {
      const { code } = await this.run(["pg_isready", "--dbname=mlflow", "--timeout=10"]);
      if (code === 0) return;
    }
  }

  /** Kills the server: nothing is said to it before. */
  public async kill(): Promise<void> {
    await this.#server?.stop();
  }

  /** What the server has printed so far. */
  public log(): string {
    return this.#server?.log() ?? "";
  }

  /** Runs one command of the image. */
  public command(...words: string[]): Promise<Ended> {
    return this.run(["python", "-m", "llmops_mlflow", ...words]);
  }

  /** Starts a command of the image as a process group of its own. */
  public spawn(...words: string[]): ChildProcess {
    const args = ["-m", "llmops_mlflow", ...words];
    return spawn("python", args, { env: this.#env, detached: true, stdio: "ignore" });
  }

  /** The rows that a statement gives. @throws with the server's error */
  public async sql(statement: string, database = "mlflow"): Promise<string[]> {
    const words = ["psql", "--no-psqlrc", "-Atq", "--set=ON_ERROR_STOP=1", `--dbname=${database}`];
    const { code, text } = await this.run([...words, `--command=${statement}`]);
    if (code !== 0) throw new Error(text);
    return text.split("\n").filter((line) => line !== "");
  }

  /** Runs a program with the image's environment, and `env` over it. */
  public async run(words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
    const [program = "", ...args] = words;
    try {
      const done = await promisify(execFile)(program, args, { env: { ...this.#env, ...env } });
      return { code: 0, text: `${done.stdout}${done.stderr}` };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, text: `${stdout}${stderr}` };
    }
  }
}
