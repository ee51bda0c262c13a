import http from "node:http";
import https from "node:https";
import { setTimeout as pause } from "node:timers/promises";
import { at, isObject, objectAt, type Json, type Props, asText } from "../values.ts";
import type { Cluster } from "./kubeconfig.ts";

/** An answer of the API server that is not a success. */
export class ApiError extends Error {
  readonly status: number;
  /** Kubernetes' word for the failure, such as `NotFound`. */
  readonly reason: string;
  readonly details: Json;

  constructor(status: number, reason: string, message: string, details: Json = null) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.details = details;
  }
}

/** The API server cannot be reached. */
export class Unreachable extends Error {}

/** Where objects of a kind live. */
export interface Resource {
  readonly plural: string;
  readonly namespaced: boolean;
}

/** One request. */
export interface Request {
  readonly method: "GET" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Record<string, string>;
  readonly body?: Props;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
}

const patience = { afterContact: 60_000, beforeContact: 8_000 };
const requestLimit = 60_000;

/** A small client for the Kubernetes API: JSON over one pool of connections. */
export class KubernetesClient {
  private readonly agent: http.Agent;
  private readonly discovered = new Map<string, Promise<Map<string, Resource>>>();
  private contact = false;
  private readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    const keep = { keepAlive: true, maxSockets: 32 };
    this.agent = cluster.server.startsWith("https:")
      ? new https.Agent({ ...keep, ...cluster.tls })
      : new http.Agent(keep);
  }

  /**
   * Sends a request and waits for the answer. Every request here may be repeated safely, so a server that is
   * restarting or busy is asked again for a while: longer once it has been seen alive.
   */
  async send(request: Request): Promise<string> {
    const started = Date.now();
    for (let attempt = 0; ; attempt++) {
      request.signal?.throwIfAborted();
      try {
        const text = await this.sendOnce(request);
        this.contact = true;
        return text;
      } catch (error) {
        const limit = this.contact ? patience.afterContact : patience.beforeContact;
        if (!mayPass(error) || Date.now() - started > limit) {
          throw error;
        }
        await pause(Math.min(2_000, 100 * 2 ** attempt), undefined, {
          ...(request.signal === undefined ? {} : { signal: request.signal }),
        });
      }
    }
  }

  /** {@link send}, with the answer parsed as a JSON object. */
  async json(request: Request): Promise<Props> {
    return JSON.parse(await this.send(request)) as Props;
  }

  private sendOnce({ method, path, query, body, contentType, signal }: Request): Promise<string> {
    const search = new URLSearchParams(query).toString();
    const url = new URL(`${this.cluster.server}${path}${search === "" ? "" : `?${search}`}`);
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers: Record<string, string> = {
      accept: "application/json",
      "user-agent": "llmops-standin",
      ...this.cluster.headers,
      ...(payload === undefined
        ? {}
        : {
            "content-length": String(Buffer.byteLength(payload)),
            "content-type": contentType ?? "application/json",
          }),
    };
    const send = url.protocol === "https:" ? https.request : http.request;
    return new Promise((resolve, reject) => {
      const lost = (error: Error): void => {
        reject(
          signal?.aborted === true
            ? error
            : new Unreachable(
                `cannot reach the Kubernetes API server at ${url.origin}: ${error.message}`,
                { cause: error },
              ),
        );
      };
      const sent = send(
        url,
        { method, headers, agent: this.agent, timeout: requestLimit, signal },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", lost);
          response.on("end", () => {
            const text = Buffer.concat(chunks).toString("utf8");
            const code = response.statusCode ?? 0;
            if (code >= 200 && code < 300) {
              resolve(text);
            } else {
              reject(apiError(code, text));
            }
          });
        },
      );
      sent.on("timeout", () => sent.destroy(new Error("no answer")));
      sent.on("error", lost);
      sent.end(payload);
    });
  }

  /** Where objects of this kind live, or undefined where the server does not know the kind (yet). */
  async resource(apiVersion: string, kind: string): Promise<Resource | undefined> {
    const known = this.discovered.get(apiVersion) ?? this.discover(apiVersion);
    this.discovered.set(apiVersion, known);
    const found = (await known).get(kind);
    if (found === undefined) {
      this.discovered.delete(apiVersion);
    }
    return found;
  }

  private async discover(apiVersion: string): Promise<Map<string, Resource>> {
    const found = new Map<string, Resource>();
    let list: Props;
    try {
      list = await this.json({ method: "GET", path: apiPath(apiVersion) });
    } catch (error) {
      this.discovered.delete(apiVersion);
      if (error instanceof ApiError && error.status === 404) {
        return found;
      }
      throw error;
    }
    const resources = list["resources"];
    for (const resource of Array.isArray(resources) ? resources : []) {
      const plural = at(resource, "name");
      const kind = at(resource, "kind");
      if (typeof plural === "string" && typeof kind === "string" && !plural.includes("/")) {
        found.set(kind, { plural, namespaced: at(resource, "namespaced") === true });
      }
    }
    return found;
  }
}

/** The root of an API group's paths. */
export function apiPath(apiVersion: string): string {
  return apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}

/** Whether the error is an answer "there is no such object". */
export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

function mayPass(error: unknown): boolean {
  return (
    error instanceof Unreachable ||
    (error instanceof ApiError && [429, 500, 502, 503, 504].includes(error.status) && busy(error))
  );
}

/** A 500 may also be a lasting fault of the request, which repeating would only delay. */
function busy(error: ApiError): boolean {
  return error.status !== 500 || /etcd|timeout|timed out|leader/i.test(error.message);
}

function apiError(code: number, text: string): ApiError {
  let answer: Json = null;
  try {
    answer = JSON.parse(text) as Json;
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      throw error;
    }
  }
  const status = isObject(answer) ? answer : {};
  return new ApiError(
    code,
    asText(status["reason"] ?? `HTTP ${code}`),
    asText(status["message"] ?? text.slice(0, 500)),
    objectAt(status, "details"),
  );
}
