/** The stand-in for Pulumi's Node.js language host: see README.md in this folder. */
import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { constants } from "node:os";
import emptypb from "google-protobuf/google/protobuf/empty_pb.js";
import languagegrpc from "@pulumi/pulumi/proto/language_grpc_pb.js";
import pb from "@pulumi/pulumi/proto/language_pb.js";
import type * as rpc from "@pulumi/pulumi/proto/language_pb.js";
import pluginpb from "@pulumi/pulumi/proto/plugin_pb.js";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { addService, Engine, servePlugin, unary } from "./plugin.ts";
import { isObject, type Props, asText } from "./values.ts";

/** The exit code by which the SDK says that it has shown the user everything there is to show. */
const alreadyShown = 32;

const children = new Set<ChildProcess>();
let engineAddress = process.argv.slice(2).find((argument) => !argument.startsWith("-")) ?? "";

function packageJson(folder: string): Props {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Props;
}

function programArguments(request: rpc.RunRequest, runner: string): string[] {
  const info = request.getInfo();
  const options = info?.getOptions()?.toJavaScript() ?? {};
  const nodeargs = typeof options["nodeargs"] === "string" ? options["nodeargs"] : "";
  const flags: Record<string, string> = {
    monitor: request.getMonitorAddress(),
    engine: engineAddress,
    organization: request.getOrganization(),
    project: request.getProject(),
    "root-directory": info?.getRootDirectory() ?? "",
    stack: request.getStack(),
    pwd: request.getPwd(),
    parallel: String(request.getParallel()),
  };
  return [
    ...nodeargs.split(" ").filter((argument) => argument !== ""),
    runner,
    ...Object.entries(flags).flatMap(([flag, value]) => (value === "" ? [] : [`--${flag}`, value])),
    ...(request.getDryrun() ? ["--dry-run"] : []),
    info?.getEntryPoint() || ".",
    ...request.getArgsList(),
  ];
}

function programEnvironment(request: rpc.RunRequest): NodeJS.ProcessEnv {
  const options = request.getInfo()?.getOptions()?.toJavaScript() ?? {};
  const config = Object.fromEntries(request.getConfigMap().entries());
  return {
    ...process.env,
    // This process' launcher has set it for this process: the program keeps its own.
    NODE_COMPILE_CACHE: undefined,
    PULUMI_CONFIG: JSON.stringify(config),
    PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
    ...(options["typescript"] === false ? {} : { PULUMI_NODEJS_TYPESCRIPT: "true" }),
    ...(typeof options["tsconfig"] === "string"
      ? { PULUMI_NODEJS_TSCONFIG_PATH: options["tsconfig"] }
      : {}),
  };
}

/** Runs a command to its end; what it prints goes where this process prints, unless collected. */
function run(
  command: string,
  args: string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
  collect?: (chunk: Buffer) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const output = collect === undefined ? "inherit" : "pipe";
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", output, output] });
    children.add(child);
    if (collect !== undefined) {
      child.stdout?.on("data", collect);
      child.stderr?.on("data", collect);
    }
    child.on("error", reject);
    child.on("close", (code, signal) => {
      children.delete(child);
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

async function runProgram(request: rpc.RunRequest): Promise<rpc.RunResponse> {
  const response = new pb.RunResponse();
  const folder = request.getInfo()?.getProgramDirectory() || request.getPwd();
  let runner: string;
  try {
    runner = createRequire(join(folder, "package.json")).resolve("@pulumi/pulumi/cmd/run");
  } catch (error) {
    response.setError(
      `the Pulumi SDK is not installed in ${folder}; run npm ci (${String(error)})`,
    );
    return response;
  }
  const code = await run(
    process.execPath,
    programArguments(request, runner),
    request.getPwd(),
    programEnvironment(request),
  );
  if (code === alreadyShown) {
    response.setBail(true);
  } else if (code !== 0) {
    response.setError(`Program exited with non-zero exit code: ${code}`);
  }
  return response;
}

async function install(
  call: ServerWritableStream<rpc.InstallDependenciesRequest, rpc.InstallDependenciesResponse>,
): Promise<void> {
  const folder = call.request.getInfo()?.getProgramDirectory() || call.request.getDirectory();
  const code = await run("npm", ["ci", "--loglevel=error"], folder, process.env, (chunk) => {
    const response = new pb.InstallDependenciesResponse();
    response.setStdout(chunk);
    call.write(response);
  });
  if (code !== 0) {
    throw new Error(`npm ci failed with exit code ${code} in ${folder}`);
  }
}

/** Starts a policy pack with the SDK's own runner. It ends when the engine ends the call. */
function runPolicyPack(
  call: ServerWritableStream<rpc.RunPluginRequest, rpc.RunPluginResponse>,
): void {
  const { request } = call;
  const folder = request.getInfo()?.getProgramDirectory() ?? request.getPwd();
  if (request.getKind() !== "analyzer") {
    throw new Error(`the nodejs stand-in runs policy packs only, no ${request.getKind()} plugins`);
  }
  const runner = createRequire(join(folder, "package.json")).resolve(
    "@pulumi/pulumi/cmd/run-policy-pack",
  );
  const env = Object.fromEntries(
    request.getEnvList().map((entry) => entry.split(/=(.*)/s).slice(0, 2) as [string, string]),
  );
  const child = spawn(process.execPath, [runner, ...request.getArgsList(), folder], {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  const send = (set: (response: rpc.RunPluginResponse) => void): void => {
    const response = new pb.RunPluginResponse();
    set(response);
    call.write(response);
  };
  child.stdout.on("data", (chunk: Buffer) => send((response) => response.setStdout(chunk)));
  child.stderr.on("data", (chunk: Buffer) => send((response) => response.setStderr(chunk)));
  child.on("error", (error) => call.destroy(error));
  child.on("close", (code) => {
    children.delete(child);
    if (call.cancelled) return;
    send((response) => response.setExitcode(code ?? 1));
    call.end();
  });
  call.on("cancelled", () => child.kill("SIGTERM"));
}

function dependencies(folder: string): rpc.DependencyInfo[] {
  const { dependencies: needed } = packageJson(folder);
  return Object.entries(isObject(needed) ? needed : {}).map(([name, version]) => {
    const info = new pb.DependencyInfo();
    info.setName(name);
    info.setVersion(asText(version));
    return info;
  });
}

function endChildren(): void {
  for (const child of children) {
    child.kill("SIGTERM");
  }
}

const engine = new Engine();
process.on("exit", endChildren);
process.on("SIGTERM", () => process.exit(143));

void servePlugin(engine, (server) => {
  addService(server, languagegrpc.LanguageRuntimeService, {
    handshake: unary((request: rpc.LanguageHandshakeRequest) => {
      engineAddress = request.getEngineAddress();
      engine.connect(engineAddress);
      return new pb.LanguageHandshakeResponse();
    }),
    getPluginInfo: unary(() => {
      const response = new pluginpb.PluginInfo();
      response.setVersion("3.270.0");
      return response;
    }),
    getRequiredPlugins: unary(() => new pb.GetRequiredPluginsResponse()),
    getRequiredPackages: unary(() => new pb.GetRequiredPackagesResponse()),
    runtimeOptionsPrompts: unary(() => new pb.RuntimeOptionsResponse()),
    about: unary(() => {
      const response = new pb.AboutResponse();
      response.setExecutable(process.execPath);
      response.setVersion(process.version);
      return response;
    }),
    getProgramDependencies: unary((request: rpc.GetProgramDependenciesRequest) => {
      const response = new pb.GetProgramDependenciesResponse();
      response.setDependenciesList(
        dependencies(request.getInfo()?.getProgramDirectory() || request.getPwd()),
      );
      return response;
    }),
    run: unary(runProgram),
    installDependencies: (
      call: ServerWritableStream<rpc.InstallDependenciesRequest, rpc.InstallDependenciesResponse>,
    ) => {
      install(call).then(
        () => call.end(),
        (error: unknown) => call.destroy(error instanceof Error ? error : new Error(String(error))),
      );
    },
    runPlugin: (call: ServerWritableStream<rpc.RunPluginRequest, rpc.RunPluginResponse>) => {
      try {
        runPolicyPack(call);
      } catch (error) {
        call.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    },
    cancel: unary(() => {
      endChildren();
      return new emptypb.Empty();
    }),
  });
});
