import { spawn } from "node:child_process";
import { lstat, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { isObject, objectAt, type Props } from "../values.ts";

/** How to reach the Docker engine. */
export interface DockerEngine {
  /** The address from the provider's settings; the environment's otherwise. */
  readonly host: string | undefined;
  /** Stops what is running. */
  readonly signal: AbortSignal;
}

/** Credentials for one registry. */
export interface Login {
  readonly server: string;
  readonly username: string;
  readonly password: string;
}

const tailLines = 40;

/** Runs a docker command, line by line; an error carries the end of what it printed. */
export function docker(
  engine: DockerEngine,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  onLine: (line: string) => void,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("docker", args, {
      env: {
        ...process.env,
        DOCKER_BUILDKIT: "1",
        ...(engine.host === undefined ? {} : { DOCKER_HOST: engine.host }),
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
      signal: engine.signal,
    });
    let output = "";
    const tail: string[] = [];
    let rest = "";
    const take = (chunk: Buffer): void => {
      const lines = (rest + chunk.toString("utf8")).split(/\r?\n|\r/);
      rest = lines.pop() ?? "";
      for (const line of lines.filter((text) => text.trim() !== "")) {
        tail.push(line);
        onLine(line);
      }
      tail.splice(0, Math.max(0, tail.length - tailLines));
    };
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString("utf8");
      take(chunk);
    });
    child.stderr.on("data", take);
    child.on("error", (error: NodeJS.ErrnoException) => {
      reject(
        error.code === "ENOENT"
          ? new Error("there is no docker command on PATH: install the Docker client")
          : error,
      );
    });
    child.on("close", (code) => {
      if (code === 0) {
        resolve(output);
      } else {
        const end = [...tail, rest].filter((line) => line !== "").join("\n");
        reject(new Error(`docker ${args[0] ?? ""} failed with exit code ${String(code)}:\n${end}`));
      }
    });
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return false;
    }
    throw error;
  }
}

/**
 * Runs work with credentials in a Docker configuration of its own, so that no password is on a command line
 * and the user's configuration stays as it is; the rest of that configuration applies.
 */
export async function withLogin<T>(
  login: Login | undefined,
  work: (env: NodeJS.ProcessEnv) => Promise<T>,
): Promise<T> {
  if (login === undefined) {
    return work({});
  }
  const home = process.env["DOCKER_CONFIG"] ?? join(homedir(), ".docker");
  const folder = await mkdtemp(join(tmpdir(), "docker-config-"));
  try {
    let config: Props = {};
    if (await exists(home)) {
      for (const name of await readdir(home)) {
        if (name === "config.json") {
          config = JSON.parse(await readFile(join(home, name), "utf8")) as Props;
        } else {
          await symlink(join(home, name), join(folder, name));
        }
      }
    }
    const auth = Buffer.from(`${login.username}:${login.password}`).toString("base64");
    const auths = isObject(config["auths"]) ? config["auths"] : {};
    const { credsStore, ...kept } = config;
    const helpers = Object.entries(objectAt(config, "credHelpers"));
    const file = {
      ...kept,
      ...(credsStore === undefined ? {} : { credsStore: "" }),
      credHelpers: Object.fromEntries(helpers.filter(([server]) => server !== login.server)),
      auths: { ...auths, [login.server]: { auth } },
    };
    await writeFile(join(folder, "config.json"), JSON.stringify(file), { mode: 0o600 });
    return await work({ DOCKER_CONFIG: folder });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
