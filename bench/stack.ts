import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { parse, stringify } from "yaml";

import { stateUrl } from "../local/commands/stack.ts";
import { installStandins } from "../local/standins/install.ts";
import { succeed } from "./measure.ts";

/** Folder of the project. */
export const ROOT = join(import.meta.dirname, "..");

/** Builds nothing: says for every image that it is there, by a digest. */
const DOCKER = `#!/bin/sh
case "$1" in
  build | push | tag) ;;
  *) printf '["%s@sha256:%064d"]\\n' "\${5%:*}" 0 ;;
esac
`;

/**
 * A program that creates as many ConfigMaps as it is told to, and nothing else: what is measured of it is Pulumi's own.
 */
const BARE = `
const k8s = require("@pulumi/kubernetes");
const pulumi = require("@pulumi/pulumi");
const config = new pulumi.Config("llmops");
const { namespace, objects } = config.requireObject("bare");
for (let index = 0; index < objects; index += 1) {
  const name = "bare-" + objects + "-" + index;
  new k8s.core.v1.ConfigMap(name, {
    metadata: { name, namespace },
    data: { text: "x".repeat(2000) },
  });
}
`;

/** A stack in a folder with a state of its own. */
export interface BenchStack {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
}

interface StackFile {
  readonly config: Record<string, unknown> & {
    readonly "llmops:models": readonly { readonly name: string; readonly source: object }[];
    readonly "llmops:gcp": { readonly workloadIdentity: object };
  };
}

/**
 * The committed settings of `prod`, but for three things that this machine has not: the cluster's context, the Google
 * Cloud resources, and the builds of the images. With `models`, so many copies of its second model in place of its own,
 * in a namespace of their own.
 */
export async function makeStack(kubeconfig: string, models?: number): Promise<BenchStack> {
  const folder = await mkdtemp(join(tmpdir(), "llmops-bench-"));
  for (const name of ["package.json", "tsconfig.json", "Pulumi.yaml"]) {
    await copyFile(join(ROOT, name), join(folder, name));
  }
  const linked = ["index.ts", "config", "workloads", "components", "images", "examples", "scripts"];
  for (const name of linked) await symlink(join(ROOT, name), join(folder, name));
  return finishStack(folder, kubeconfig, await settings(models));
}

/** The bare program with so many objects, in the namespace `default`. */
export async function makeBareStack(kubeconfig: string, objects: number): Promise<BenchStack> {
  const folder = await mkdtemp(join(tmpdir(), "llmops-bench-"));
  await writeFile(join(folder, "index.js"), BARE);
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "bare", main: "index.js" }));
  const runtime = { name: "nodejs", options: { typescript: false } };
  await writeFile(join(folder, "Pulumi.yaml"), stringify({ name: "llmops", runtime }));
  const bare = { namespace: "default", objects };
  return finishStack(folder, kubeconfig, { "llmops:bare": bare });
}

async function finishStack(
  folder: string,
  kubeconfig: string,
  config: object,
): Promise<BenchStack> {
  const bin = join(folder, "bin");
  await installStandins(bin, process.execPath, join(ROOT, "local", "standins"));
  await writeFile(join(bin, "docker"), DOCKER);
  await chmod(join(bin, "docker"), 0o755);
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  await mkdir(join(folder, "state"));
  const env = {
    ...process.env,
    PATH: [bin, process.env["PATH"] ?? ""].join(delimiter),
    KUBECONFIG: kubeconfig,
    PULUMI_HOME: join(folder, "home"),
    PULUMI_BACKEND_URL: stateUrl(join(folder, "state")),
    PULUMI_CONFIG_PASSPHRASE: "bench",
    PULUMI_SKIP_UPDATE_CHECK: "true",
  };
  await succeed(pulumiCommand("stack", "init", "prod"), { cwd: folder, env });
  const file = join(folder, "Pulumi.prod.yaml");
  const salt = parse(await readFile(file, "utf8")) as object;
  await writeFile(file, stringify({ ...salt, config }));
  return { folder, env };
}

async function settings(models?: number): Promise<object> {
  const { config } = parse(await readFile(join(ROOT, "Pulumi.prod.yaml"), "utf8")) as StackFile;
  const [, copied] = config["llmops:models"];
  const copies = Array.from({ length: models ?? 0 }, (_, index) => ({
    ...copied,
    name: `model-${String(index + 1)}`,
  }));
  return {
    ...config,
    "llmops:cluster": { context: "test" },
    "llmops:gcp": { workloadIdentity: config["llmops:gcp"].workloadIdentity },
    ...(models === undefined
      ? {}
      : { "llmops:models": copies, "llmops:namespace": `llmops-${String(models)}` }),
  };
}

/** How many objects of the cluster the stack has. */
export async function resourcesOf({ folder, env }: BenchStack): Promise<number> {
  const text = await succeed(pulumiCommand("stack", "export"), { cwd: folder, env });
  const { deployment } = JSON.parse(text) as {
    readonly deployment: { readonly resources: readonly { readonly type: string }[] };
  };
  return deployment.resources.filter(({ type }) => type.startsWith("kubernetes:")).length;
}

/** A command line of the Pulumi CLI. */
export function pulumiCommand(...args: string[]): string[] {
  return ["pulumi", ...args, "--non-interactive"];
}

/** Removes the folder. */
export function removeStack({ folder }: BenchStack): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}
