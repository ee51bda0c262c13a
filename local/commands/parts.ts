import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { debianPackages } from "../cluster/debianPackages.ts";
import type { BuilderHandle } from "../cluster/options.ts";
import { startBuilder, startCluster } from "../cluster/start.ts";
import { ensureBaseModel, placeBaseModel } from "../model/baseModel.ts";
import { Progress } from "../progress.ts";
import {
  baseImageName,
  dropReplacedImages,
  ensureBaseRootfs,
  importBaseImage,
  machineSettings,
} from "../toolchain/baseImage.ts";
import { ensureDebs } from "../toolchain/debs.ts";
import type { DebianRoot } from "../toolchain/debs.ts";
import { cacheRoot } from "../toolchain/paths.ts";
import { ensurePulumi } from "../toolchain/pulumi.ts";
import type { PulumiTool } from "../toolchain/pulumi.ts";
import { clusterOptions, clusterTools, linkCommands, pulumiFolders } from "./context.ts";
import type { Context, Platform } from "./context.ts";

/** Seconds that each tool's build takes on two idle cores, until this machine has its own figures. */
const buildGuess: Record<string, number> = {
  kubernetes: 300,
  pulumi: 200,
  "prometheus-adapter": 100,
  coredns: 50,
  pause: 2,
};

/** Builds or finds the tools, and nothing else; says where they are. */
export async function buildTools(
  context: Context,
): Promise<{ readonly debsRoot: string; readonly bins: readonly string[] }> {
  mkdirSync(context.folders.logs, { recursive: true });
  const timings = join(cacheRoot(), "timings.json");
  const progress = new Progress({ total: clusterTools.length + 2, timings });
  try {
    const [{ root }, { path }] = await Promise.all([
      debs(context, progress),
      goTools(context, progress),
    ]);
    progress.finish({ command: "make tools", kind: "tools" });
    const kubernetes = join(await context.tools.folder("kubernetes"), "bin");
    return { debsRoot: root, bins: [kubernetes, ...path] };
  } catch (error) {
    context.abort();
    throw error;
  }
}

/** Everything below the program: tools, engine, cluster, base image, base model. What can overlap does. */
export async function parts(
  context: Context,
  progress: Progress,
  slot: string,
): Promise<{ pulumi: PulumiTool; platform: Platform }> {
  const packages = debs(context, progress);
  const tools = goTools(context, progress);
  const builder = packages.then((root) => engine(context, progress, slot, root));
  const cluster = Promise.all([packages, tools]).then(([{ root }]) =>
    progress.step({ id: "cluster", label: "start Kubernetes", guess: 25 }, async ({ note }) =>
      startCluster(await clusterOptions(context, slot, root), note),
    ),
  );
  const model = baseModel(context, progress);
  const placed = Promise.all([cluster, model]).then(([{ volumesDir }, folder]) =>
    placeBaseModel(folder, volumesDir),
  );
  const [pulumi, builderHandle, clusterHandle] = await Promise.all([
    tools,
    builder,
    cluster,
    placed,
  ]);
  await linkCommands(context, {
    docker: builderHandle.dockerClient,
    kubectl: join(await context.tools.folder("kubernetes"), "bin", "kubectl"),
  });
  const platform = {
    kind: "own",
    context: clusterHandle.context,
    nodeAddress: clusterHandle.nodeAddress,
    env: { DOCKER_HOST: builderHandle.dockerHost, KUBECONFIG: clusterHandle.kubeconfig },
  } as const;
  return { pulumi, platform };
}

function baseModel(context: Context, progress: Progress): Promise<string> {
  const step = { id: "model", label: "base model SmolLM2-135M-Instruct", guess: 60 };
  return progress.step(step, async (handle) => {
    const { folder, converted } = await ensureBaseModel({
      cacheDir: cacheRoot(),
      sourceDir: join(context.checkout, "local", "model"),
      logs: context.folders.logs,
      signal: context.signal,
    });
    if (!converted) handle.ready();
    return folder;
  });
}

function debs(context: Context, progress: Progress): Promise<DebianRoot> {
  const step = { id: "debs", label: "fetch Debian packages", guess: 15 };
  return progress.step(step, async (handle) => {
    const root = await ensureDebs([...debianPackages, "debootstrap"], {
      logs: context.folders.logs,
      signal: context.signal,
    });
    if (!root.fetched) handle.ready();
    return root;
  });
}

/** Two builds at a time: one alone leaves a core idle while it links, three only fill the memory. */
async function goTools(context: Context, progress: Progress): Promise<PulumiTool> {
  const pulumi = progress.step(
    { id: "tool:pulumi", label: "Pulumi", guess: buildGuess["pulumi"] ?? 200 },
    async (handle) => {
      const tool = await ensurePulumi(context.tools, pulumiFolders(context));
      if (!tool.built) handle.ready();
      return tool;
    },
  );
  const rest = (async () => {
    for (const name of clusterTools) {
      const { version } = context.tools.recipe(name);
      const step = {
        id: `tool:${name}`,
        label: `${name} ${version}`,
        guess: buildGuess[name] ?? 60,
      };
      await progress.step(step, async (handle) => {
        const tool = await context.tools.ensure(name);
        if (!tool.built) handle.ready();
      });
    }
  })();
  const [tool] = await Promise.all([pulumi, rest]);
  return tool;
}

async function engine(
  context: Context,
  progress: Progress,
  slot: string,
  packages: DebianRoot,
): Promise<BuilderHandle> {
  const { signal } = context;
  const logs = context.folders.logs;
  const base = await progress.step(
    { id: "base", label: "Debian 12 base system", guess: 60 },
    async (handle) => {
      const rootfs = await ensureBaseRootfs(packages, await machineSettings(), { logs, signal });
      if (!rootfs.built) handle.ready();
      return rootfs;
    },
  );
  const options = await clusterOptions(context, slot, packages.root);
  const builder = await progress.step(
    { id: "builder", label: "start the image builder", guess: 5 },
    () => startBuilder(options),
  );
  await progress.step(
    { id: "base-image", label: `import ${baseImageName}`, guess: 5 },
    async (handle) => {
      const env = { ...process.env, DOCKER_HOST: builder.dockerHost };
      const docker = { command: builder.dockerClient, env };
      const { imported } = await importBaseImage(docker, base, { logs, signal });
      await dropReplacedImages(docker, { logs, signal });
      if (!imported) handle.ready();
    },
  );
  return builder;
}
