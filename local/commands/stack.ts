import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";

import { parseDocument } from "yaml";

import { until } from "../cluster/poll.ts";
import { replaceFile } from "../files.ts";
import type { InstanceFolders } from "../toolchain/paths.ts";
import type { PulumiTool } from "../toolchain/pulumi.ts";
import { run } from "../toolchain/run.ts";

/** A service as the program tells about it. */
export interface Endpoint {
  /** Address inside the cluster. */
  readonly url: string;
  /** Port on the node, where the service has one. */
  readonly nodePort?: number;
  /** Name that a model server answers to. */
  readonly model?: string;
}

/** What the program tells about itself when it has run. */
export interface StackOutputs {
  readonly mlflow: Endpoint;
  readonly models: Readonly<Record<string, Endpoint>>;
  readonly frontDoor: Endpoint | undefined;
  readonly apiKey: string;
  readonly runId: string;
}

/** A setting of the stack file that this platform fills in otherwise. */
export interface Override {
  /** Keys from `config:` down. */
  readonly path: readonly string[];
  readonly value: string;
}

/**
 * Address of a Pulumi state in a folder. Without `metadata=skip` Pulumi keeps a second file beside each state file and
 * writes it in place: a kill at that moment leaves it empty, and every later command fails with `EOF`.
 */
export function stateUrl(folder: string): string {
  return `file://${folder}?metadata=skip`;
}

/** Environment in which Pulumi works on this checkout's own state and nothing else. */
export function stackEnvironment(
  folders: InstanceFolders,
  pulumi: Pick<PulumiTool, "path">,
  platform: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const path = [...pulumi.path, platform["PATH"] ?? process.env["PATH"] ?? ""].join(delimiter);
  return {
    ...process.env,
    ...platform,
    PATH: path,
    PULUMI_HOME: join(folders.pulumi, "home"),
    PULUMI_BACKEND_URL: stateUrl(join(folders.pulumi, "state")),
    PULUMI_CONFIG_PASSPHRASE_FILE: join(folders.pulumi, "passphrase"),
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    DOCKER_BUILDKIT: "1",
  };
}

/**
 * The stack `local` of this checkout, made if it is not there. Its settings are a copy of `Pulumi.local.yaml` with the
 * salt of this platform's passphrase: the tracked file stays as it is.
 */
export async function ensureStack(
  folders: InstanceFolders,
  command: string,
  env: NodeJS.ProcessEnv,
  overrides: readonly Override[] = [],
): Promise<void> {
  const project = join(folders.pulumi, "project");
  for (const folder of [project, join(folders.pulumi, "home"), join(folders.pulumi, "state")]) {
    mkdirSync(folder, { recursive: true });
  }
  const passphrase = join(folders.pulumi, "passphrase");
  if (!existsSync(passphrase)) {
    replaceFile(passphrase, randomBytes(24).toString("base64url"), 0o600);
  }
  copyFileSync(join(folders.checkout, "Pulumi.yaml"), join(project, "Pulumi.yaml"));
  await run(command, ["--non-interactive", "stack", "select", "--create", "local"], {
    what: "making the Pulumi stack local",
    remedy: "make local-down, then make local",
    cwd: project,
    env,
    log: join(folders.logs, "pulumi.log"),
  });
  const salted = readFileSync(join(project, "Pulumi.local.yaml"), "utf8");
  const salt = salted.split("\n").find((line) => line.startsWith("encryptionsalt:"));
  if (salt === undefined) throw new Error(`${project}/Pulumi.local.yaml holds no encryptionsalt`);
  const settings = parseDocument(readFileSync(join(folders.checkout, "Pulumi.local.yaml"), "utf8"));
  for (const { path, value } of overrides) settings.setIn(["config", ...path], value);
  writeFileSync(folders.stackFile, `${salt}\n${settings.toString()}`, { mode: 0o600 });
}

/**
 * Takes away the state locks of updates that were killed. An update that still runs, such as one that a killed
 * `make local` left behind, is waited for.
 */
export async function clearLocks(
  folders: InstanceFolders,
  note: (text: string) => void,
): Promise<void> {
  const locks = join(folders.pulumi, "state", ".pulumi", "locks");
  if (!existsSync(locks)) return;
  const files = readdirSync(locks, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".json"))
    .map((name) => join(locks, name));
  for (const file of files) {
    const pid = lockHolder(file);
    if (pid !== undefined && isPulumi(pid)) {
      note(`waiting for pulumi, process ${String(pid)}, which works on this stack`);
      await until(`the end of process ${String(pid)}`, 7200, () =>
        isPulumi(pid) ? undefined : true,
      );
    }
    rmSync(file, { force: true });
  }
}

/** Process number in a lock of Pulumi's file backend; `undefined` where the file is gone or was cut short. */
function lockHolder(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const pid = /"pid":\s*(\d+)/.exec(readFileSync(file, "utf8"))?.[1];
  return pid === undefined ? undefined : Number(pid);
}

function isPulumi(pid: number): boolean {
  const name = join("/proc", String(pid), "comm");
  return existsSync(name) && readFileSync(name, "utf8").trim() === "pulumi";
}

/** Brings the stack to what the settings say. An interrupted update ends by itself and keeps what it has made. */
export async function pulumiUp(
  folders: InstanceFolders,
  command: string,
  env: NodeJS.ProcessEnv,
  options: { readonly interrupt: AbortSignal; readonly onLine: (line: string) => void },
): Promise<void> {
  const stack = ["--stack", "local", "--config-file", folders.stackFile];
  await run(command, ["--non-interactive", "up", "--yes", "--skip-preview", ...stack], {
    what: "pulumi up of the stack local",
    remedy:
      "read the last lines, which name the way on after a failed training Job, and the log; mend the cause and run make local again: it goes on where it stopped",
    cwd: folders.checkout,
    env,
    log: join(folders.logs, "pulumi-up.log"),
    telling: (line) => !/^@|creating \(|updating \(|warning: using pulumi-|^\s*$/.test(line),
    ...options,
  });
}

/** Reads the stack's outputs, the generated API key included. */
export async function stackOutputs(
  folders: InstanceFolders,
  command: string,
  env: NodeJS.ProcessEnv,
): Promise<StackOutputs> {
  const args = ["--non-interactive", "stack", "output", "--json", "--show-secrets"];
  const text = await run(command, [...args, "--stack", "local"], {
    what: "reading the stack's outputs",
    remedy: "run make local first",
    cwd: folders.checkout,
    env,
  });
  return parseOutputs(JSON.parse(text));
}

/** The stack is not up, or not yet: it was destroyed, or its first update has not ended. */
export class NotUp extends Error {}

/** Checks the shape of `pulumi stack output --json --show-secrets`. */
export function parseOutputs(raw: unknown): StackOutputs {
  const outputs = entries(raw);
  const endpoints = entries(outputs.get("endpoints"));
  const mlflow = parseEndpoint(endpoints.get("mlflow"));
  const models = new Map<string, Endpoint>();
  for (const [name, value] of entries(endpoints.get("models"))) {
    const model = parseEndpoint(value);
    if (model !== undefined) models.set(name, model);
  }
  const apiKey = outputs.get("vllmApiKey");
  const runId = outputs.get("runId");
  if (mlflow === undefined || models.size === 0 || typeof apiKey !== "string") {
    throw new NotUp(
      "the stack's outputs name no MLflow, model server or API key\n  what to do: make local",
    );
  }
  return {
    mlflow,
    models: Object.fromEntries(models),
    frontDoor: parseEndpoint(endpoints.get("frontDoor")),
    apiKey,
    runId: typeof runId === "string" ? runId : "",
  };
}

function parseEndpoint(raw: unknown): Endpoint | undefined {
  const fields = entries(raw);
  const [url, nodePort, model] = [fields.get("url"), fields.get("nodePort"), fields.get("model")];
  if (typeof url !== "string") return undefined;
  return {
    url,
    ...(typeof nodePort === "number" ? { nodePort } : {}),
    ...(typeof model === "string" ? { model } : {}),
  };
}

function entries(value: unknown): Map<string, unknown> {
  return new Map<string, unknown>(
    typeof value === "object" && value !== null ? Object.entries(value) : [],
  );
}
