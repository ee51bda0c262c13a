import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { apiKeyFilter, envoyConfig } from "../../../workloads/envoyConfig";
import { traceHeadersFilter } from "../../../workloads/envoyTracing";
import { ENVOY_OPTIONS } from "../../../workloads/frontDoor";
import type { RoutedModel } from "../../../workloads/envoyRoutes";
import type { TraceTarget } from "../../../workloads/tracing";
import { freePort } from "../ports";
import { ROOT } from "../program";
import { ServerProcess, loopback } from "./server";

/** What a front door is started with. */
export interface FrontDoorOptions {
  /** Empty folder of its own. */
  readonly folder: string;
  readonly models: readonly RoutedModel[];
  readonly maxBodyMiB: number;
  readonly key: string;
  /** Where its spans go, with the secret headers; left out, it sends none. */
  readonly traces?: { readonly target: TraceTarget; readonly headers?: string };
}

/** A running Envoy with the configuration of the front door. */
export interface RunningFrontDoor {
  /** Base URL of the OpenAI API. */
  readonly url: string;
  /** URL of health and metrics. */
  readonly metrics: string;
  /** What it has printed so far. */
  log(): string;
  /** Most memory that it has had, in MiB. */
  peakMiB(): number;
  /** Runs what the kubelet runs before it ends the container. */
  drain(settleSeconds: number, longestSeconds: number): Promise<void>;
  /** Sends SIGTERM and waits for the exit code. */
  terminate(): Promise<number | null>;
  stop(): Promise<void>;
}

/** Writes the files of the front door; gives the path of Envoy's configuration. */
export function writeConfig(
  { folder, models, maxBodyMiB, key, traces }: FrontDoorOptions,
  ports: { readonly http: number; readonly metrics: number; readonly admin: number },
): string {
  const apiKeyFile = join(folder, "api-key.json");
  const config = join(folder, "envoy.yaml");
  const listen = { address: loopback.address, ...ports };
  writeFileSync(apiKeyFile, apiKeyFilter(key), { mode: 0o600 });
  const headersFile = traces?.headers && join(folder, "trace-headers.json");
  if (traces?.headers !== undefined && headersFile !== undefined) {
    writeFileSync(headersFile, traceHeadersFilter(traces.headers), { mode: 0o600 });
  }
  const target = traces && { ...traces.target, headersFile };
  writeFileSync(config, envoyConfig({ models, maxBodyMiB, apiKeyFile, traces: target, listen }));
  return config;
}

/** Starts Envoy from PATH. */
export async function startFrontDoor(options: FrontDoorOptions): Promise<RunningFrontDoor> {
  const ports = { http: await freePort(), metrics: await freePort(), admin: await freePort() };
  const config = writeConfig(options, ports);
  const server = await ServerProcess.start(
    { place: loopback, port: ports.http, folder: options.folder },
    ["envoy", "--config-path", config, ...ENVOY_OPTIONS],
  );
  return {
    url: `http://${loopback.address}:${String(ports.http)}/v1`,
    metrics: `http://${loopback.address}:${String(ports.metrics)}`,
    log: () => server.log(),
    peakMiB: () => {
      const status = readFileSync(`/proc/${String(server.pid)}/status`, "utf8");
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
    },
    drain: (settle, longest) => drain(ports.admin, settle, longest),
    terminate: () => server.terminate(),
    stop: () => server.stop(),
  };
}

function drain(admin: number, settle: number, longest: number): Promise<void> {
  const script = join(ROOT, "images", "front-door", "drain.sh");
  const child = spawn("bash", [script, ...[admin, settle, longest].map(String)], {
    stdio: "ignore",
  });
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => {
      if (code === 0) done();
      else fail(new Error(`drain.sh: exit code ${String(code)}`));
    });
  });
}
