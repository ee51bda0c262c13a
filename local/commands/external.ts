import { spawn } from "node:child_process";
import { join } from "node:path";

import { ensureBaseModel } from "../model/baseModel.ts";
import { baseModelPath } from "../model/baseModel.ts";
import type { Progress } from "../progress.ts";
import {
  baseImageName,
  ensureBaseRootfs,
  importBaseImage,
  machineSettings,
} from "../toolchain/baseImage.ts";
import { ensureDebs } from "../toolchain/debs.ts";
import { cacheRoot } from "../toolchain/paths.ts";
import { ensurePulumi } from "../toolchain/pulumi.ts";
import { run, tryRun } from "../toolchain/run.ts";
import { findPlatform, pulumiFolders } from "./context.ts";
import type { Context, Platform } from "./context.ts";
import type { Override } from "./stack.ts";
import { program, withProgress } from "./up.ts";

/** A cluster and a Docker engine that the user has, and wants to be used. */
export interface External {
  /** Context of the user's kubeconfig. */
  readonly name: string;
  /** Where images are pushed, and pulled by the cluster: `host/path`, logged in already. */
  readonly registry: string;
}

/** A node as `kubectl get nodes -o json` tells about it. */
export interface ExternalNode {
  /** Value of its host name label. */
  readonly hostname: string;
  readonly address: string;
}

const HELPER = "llmops-volume";
const VOLUMES = "/mnt/llamafactory";

/** The stack `local` on the user's own cluster: nothing is started on this machine, nothing else in the cluster is touched. */
export async function upExternal(context: Context, external: External): Promise<void> {
  if (external.registry === "") {
    throw new Error(
      `A cluster of your own pulls images from a registry of your own, and none is named.\n` +
        `  what to do: make local CONTEXT=${external.name} REGISTRY=<host/path>`,
    );
  }
  if (findPlatform(context)?.kind === "own") {
    throw new Error(
      "This checkout runs a platform of its own.\n  what to do: make local-down first.",
    );
  }
  const node = await findNode(external.name);
  await run("docker", ["version"], {
    what: "reaching the Docker engine",
    remedy: "start Docker, or set DOCKER_HOST",
  });
  await withProgress(context, 5, "external", async (progress) => {
    const { logs } = context.folders;
    const { signal } = context;
    const pulumi = await progress.step({ id: "tool:pulumi", label: "Pulumi", guess: 200 }, () =>
      ensurePulumi(context.tools, pulumiFolders(context)),
    );
    await pushBaseImage(context, external, progress);
    const step = { id: "model", label: "base model SmolLM2-135M-Instruct", guess: 60 };
    await progress.step(step, async () => {
      const sourceDir = join(context.checkout, "local", "model");
      const model = await ensureBaseModel({ cacheDir: cacheRoot(), sourceDir, logs, signal });
      await fillVolume(external, node, model.folder);
    });
    const platform: Platform = {
      kind: "external",
      context: external.name,
      nodeAddress: node.address,
      env: {},
    };
    return program(context, progress, pulumi, platform, overridesFor(external, node));
  });
}

/** What the settings of the stack `local` become on another cluster. */
export function overridesFor(external: External, node: ExternalNode): Override[] {
  const volumeNode = (claim: string): Override => ({
    path: ["llmops:storage", claim, "volume", "node"],
    value: node.hostname,
  });
  return [
    { path: ["llmops:cluster", "context"], value: external.name },
    { path: ["llmops:images", "registry"], value: external.registry },
    volumeNode("modelOutput"),
    volumeNode("mlflow"),
  ];
}

/** The first node that takes pods, from `kubectl get nodes -o json`. */
export function firstNode(raw: unknown): ExternalNode | undefined {
  const { items } = raw as {
    items: readonly {
      metadata: { labels?: Record<string, string> };
      spec: { unschedulable?: boolean };
      status: { addresses?: readonly { type: string; address: string }[] };
    }[];
  };
  for (const { metadata, spec, status } of items) {
    const hostname = metadata.labels?.["kubernetes.io/hostname"];
    const address = status.addresses?.find(({ type }) => type === "InternalIP")?.address;
    if (spec.unschedulable === true || hostname === undefined || address === undefined) continue;
    return { hostname, address };
  }
  return undefined;
}

/** The manifest of the pod that fills the model volume of a node. */
export function helperPod(image: string, node: ExternalNode): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: HELPER, namespace: HELPER },
    spec: {
      nodeSelector: { "kubernetes.io/hostname": node.hostname },
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      containers: [
        {
          name: "volume",
          image,
          command: ["sleep", "infinity"],
          volumeMounts: [{ name: "volumes", mountPath: VOLUMES }],
        },
      ],
      volumes: [{ name: "volumes", hostPath: { path: VOLUMES, type: "DirectoryOrCreate" } }],
    },
  };
}

async function findNode(name: string): Promise<ExternalNode> {
  const listed = await tryRun("kubectl", ["config", "get-contexts", "--output", "name"]);
  const contexts = (listed ?? "").split("\n").filter((line) => line !== "");
  if (!contexts.includes(name)) {
    const there = contexts.length === 0 ? "none" : contexts.join(", ");
    throw new Error(
      `The kubeconfig has no context "${name}"; it has: ${there}.\n` +
        "  what to do: name one of these, or leave CONTEXT out for a platform on this machine.",
    );
  }
  const text = await run("kubectl", ["--context", name, "get", "nodes", "--output", "json"], {
    what: `asking the cluster of the context ${name} for its nodes`,
    remedy: "check that the cluster can be reached",
  });
  const node = firstNode(JSON.parse(text));
  if (node === undefined)
    throw new Error(`the cluster of the context ${name} has no node for pods`);
  return node;
}

async function pushBaseImage(
  context: Context,
  external: External,
  progress: Progress,
): Promise<void> {
  const options = { logs: context.folders.logs, signal: context.signal };
  await progress.step({ id: "base", label: "Debian 12 base image", guess: 90 }, async () => {
    const debs = await ensureDebs(["debootstrap"], options);
    const base = await ensureBaseRootfs(debs, await machineSettings(), options);
    await importBaseImage({ command: "docker", env: process.env }, base, options);
    const image = remoteBase(external);
    await run("docker", ["tag", baseImageName, image], { what: "naming the base image" });
    await run("docker", ["push", image], {
      what: `pushing to ${external.registry}`,
      remedy: "check the name, and docker login",
    });
  });
}

/** Puts the base model on the node's volume, by a pod that is gone again afterwards. */
async function fillVolume(external: External, node: ExternalNode, model: string): Promise<void> {
  const what = "putting the base model on the volume";
  const kubectl = (args: readonly string[], input?: string): Promise<string> =>
    run("kubectl", ["--context", external.name, ...args], {
      what,
      ...(input === undefined ? {} : { input }),
    });
  const target = `${VOLUMES}/models/${baseModelPath}`;
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: HELPER } };
  const objects = [namespace, helperPod(remoteBase(external), node)];
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
  try {
    await kubectl(["apply", "--filename", "-"], list);
    const pod = ["--namespace", HELPER, `pod/${HELPER}`];
    await kubectl(["wait", "--for=condition=Ready", "--timeout=300s", ...pod]);
    const script = `set -e; mkdir -p ${VOLUMES}/mlflow ${target}; tar -C ${target} -x; chown -R 10001:10001 ${VOLUMES}/mlflow ${VOLUMES}/models`;
    await pipe(
      ["tar", "-C", model, "-c", "."],
      ["kubectl", "--context", external.name, "exec", "--stdin", ...pod, "--", "sh", "-c", script],
      what,
    );
  } finally {
    await kubectl(["delete", "namespace", HELPER, "--ignore-not-found"]);
  }
}

function remoteBase(external: External): string {
  return `${external.registry}/llmops-debian:12`;
}

function pipe(from: readonly string[], to: readonly string[], what: string): Promise<void> {
  const [source = "", ...sourceArgs] = from;
  const [sink = "", ...sinkArgs] = to;
  const producer = spawn(source, sourceArgs, { stdio: ["ignore", "pipe", "inherit"] });
  const consumer = spawn(sink, sinkArgs, { stdio: [producer.stdout, "inherit", "inherit"] });
  const end = (child: ReturnType<typeof spawn>, name: string): Promise<void> =>
    new Promise((done, fail) => {
      child.on("error", fail);
      child.on("close", (code) => {
        if (code === 0) done();
        else fail(new Error(`${what} failed: ${name} ended with exit code ${String(code)}`));
      });
    });
  return Promise.all([end(producer, source), end(consumer, sink)]).then(() => undefined);
}
