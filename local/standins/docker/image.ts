import { stat } from "node:fs/promises";
import { join, relative } from "node:path";
import {
  isObject,
  isUnknown,
  objectAt,
  redact,
  stringAt,
  type Json,
  type Props,
  asText,
} from "../values.ts";
import { docker, withLogin, type DockerEngine, type Login } from "./engine.ts";

/** An image to build, with the defaults filled in. */
export interface Image {
  readonly name: string;
  readonly context: string;
  readonly dockerfile: string;
  readonly target: string | undefined;
  readonly platform: string | undefined;
  readonly network: string | undefined;
  readonly buildKit: boolean;
  readonly args: Readonly<Record<string, string>>;
  readonly addHosts: readonly string[];
  readonly cacheFrom: readonly string[];
  readonly push: boolean;
  readonly login: Login | undefined;
}

/** Variables that the docker command itself reads: build arguments of these names go on the command line. */
const ownVariables = /^(PATH|HOME|TMPDIR|BUILDKIT_.*|DOCKER_.*|.*_proxy|.*_PROXY)$/;

function strings(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** The registry an image name points at. */
export function registryOf(name: string): string {
  const first = name.includes("/") ? name.slice(0, name.indexOf("/")) : "";
  return /[.:]|^localhost$/.test(first) ? first : "";
}

function loginOf(inputs: Props, name: string): Login | undefined {
  const registry = objectAt(inputs, "registry");
  const username = stringAt(registry, "username");
  const password = stringAt(registry, "password");
  if (username === undefined || password === undefined) {
    return undefined;
  }
  const server = stringAt(registry, "server") ?? registryOf(name);
  const host = server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  const hub = host === "docker.io" || host === "index.docker.io" || host === "";
  return { server: hub ? "https://index.docker.io/v1/" : host, username, password };
}

/** Reads the plain inputs of an image. */
export function imageOf(inputs: Props): Image {
  const build = objectAt(inputs, "build");
  const name = stringAt(inputs, "imageName") ?? "";
  const context = stringAt(build, "context") ?? ".";
  const args = Object.entries(objectAt(build, "args"));
  return {
    name,
    context,
    dockerfile: stringAt(build, "dockerfile") ?? join(context, "Dockerfile"),
    target: stringAt(build, "target"),
    platform: stringAt(build, "platform"),
    network: stringAt(build, "network"),
    buildKit: build["builderVersion"] !== "BuilderV1",
    args: Object.fromEntries(args.map(([key, value]) => [key, asText(value)])),
    addHosts: strings(build["addHosts"]),
    cacheFrom: strings(objectAt(build, "cacheFrom")["images"]),
    push: inputs["skipPush"] !== true,
    login: loginOf(inputs, name),
  };
}

/** What is wrong with an image before anything is built. */
export async function imageFailures(
  inputs: Props,
): Promise<{ property: string; reason: string }[]> {
  const image = imageOf(inputs);
  const failures: { property: string; reason: string }[] = [];
  const known = !isUnknown(inputs["imageName"]);
  if (known && image.name === "") {
    failures.push({ property: "imageName", reason: "imageName is missing" });
  } else if (known && image.push && registryOf(image.name) === "") {
    const reason = `"${image.name}" must start with its registry to be pushed, such as docker.io/`;
    failures.push({ property: "imageName", reason });
  }
  for (const [property, path] of [
    ["build.context", image.context],
    ["build.dockerfile", image.dockerfile],
  ] as const) {
    try {
      await stat(path);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      failures.push({ property, reason: `cannot read ${path}: ${why}` });
    }
  }
  return failures;
}

function buildArguments(image: Image): { args: string[]; env: NodeJS.ProcessEnv } {
  const env: NodeJS.ProcessEnv = { DOCKER_BUILDKIT: image.buildKit ? "1" : "0" };
  const option = (name: string, value: string | undefined) =>
    value === undefined ? [] : [name, value];
  const args = ["build", "--file", image.dockerfile, "--tag", image.name];
  for (const [key, value] of Object.entries(image.args)) {
    if (ownVariables.test(key)) {
      args.push("--build-arg", `${key}=${value}`);
    } else {
      env[key] = value;
      args.push("--build-arg", key);
    }
  }
  args.push(
    ...(image.buildKit ? ["--progress", "plain"] : []),
    ...option("--target", image.target),
    ...option("--platform", image.platform),
    ...option("--network", image.network),
    ...image.addHosts.flatMap((host) => ["--add-host", host]),
    ...image.cacheFrom.flatMap((cache) => ["--cache-from", cache]),
    image.context,
  );
  return { args, env };
}

function repository(name: string): string {
  const last = name.slice(name.lastIndexOf("/") + 1);
  return last.includes(":") ? name.slice(0, name.lastIndexOf(":")) : name;
}

async function pushedDigest(
  engine: DockerEngine,
  image: Image,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const format = ["image", "inspect", "--format", "{{json .RepoDigests}}", image.name];
  const digests = JSON.parse(await docker(engine, format, env, () => undefined)) as string[];
  const own = digests.find((digest) => digest.startsWith(`${repository(image.name)}@`));
  if (own === undefined) {
    throw new Error(`${image.name} was pushed, but the Docker engine knows no digest for it`);
  }
  return own;
}

/** Builds the image, pushes it unless told not to, and returns its outputs. */
export async function buildImage(
  engine: DockerEngine,
  inputs: Props,
  say: (line: string) => void,
): Promise<Props> {
  const image = imageOf(inputs);
  const outputs: Props = {
    baseImageName: image.name,
    context: image.context,
    dockerfile: relative(image.context, image.dockerfile),
    imageName: image.name,
    registryServer: stringAt(objectAt(inputs, "registry"), "server") ?? registryOf(image.name),
    ...(image.platform === undefined ? {} : { platform: image.platform }),
  };
  return withLogin(image.login, async (login) => {
    const { args, env } = buildArguments(image);
    await docker(engine, args, { ...login, ...env }, say);
    if (image.push) {
      await docker(engine, ["push", image.name], login, say);
      outputs["repoDigest"] = await pushedDigest(engine, image, login);
    }
    return outputs;
  });
}

/** An error's text without the values of build arguments and passwords marked secret. */
export function withoutSecrets(error: unknown, inputs: Props): Error {
  const message = error instanceof Error ? error.message : String(error);
  return new Error(redact(message, isObject(inputs) ? inputs : {}), { cause: error });
}
