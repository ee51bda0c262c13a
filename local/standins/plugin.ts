import { Server, ServerCredentials, credentials, status } from "@grpc/grpc-js";
import type { UntypedServiceImplementation, handleUnaryCall } from "@grpc/grpc-js";
import enginegrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import type { EngineClient } from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import enginepb from "@pulumi/pulumi/proto/engine_pb.js";

/** How bad a message is. */
export type Severity = "debug" | "info" | "warning" | "error";

const messageLimit = 64 * 1024;

/** The engine's side of a plugin: where its messages go. */
export class Engine {
  private address: string | undefined;
  private client: EngineClient | undefined;

  /** The engine is at this loopback address: it is connected to with the first message. */
  connect(address: string): void {
    if (address !== this.address) this.client = undefined;
    this.address = address;
  }

  /** Shows a message with the resource, for good. */
  log(severity: Severity, message: string, urn = ""): Promise<void> {
    return this.send(severity, message, urn, false);
  }

  /** Shows a message in the resource's progress line until the next one. */
  status(message: string, urn: string): Promise<void> {
    return this.send("info", message, urn, true);
  }

  private send(severity: Severity, message: string, urn: string, brief: boolean): Promise<void> {
    if (this.address === undefined) {
      process.stderr.write(`${severity}: ${message}\n`);
      return Promise.resolve();
    }
    this.client ??= new enginegrpc.EngineClient(this.address, credentials.createInsecure());
    const { client } = this;
    const severities = enginepb.LogSeverity;
    const level = {
      debug: severities.DEBUG,
      info: severities.INFO,
      warning: severities.WARNING,
      error: severities.ERROR,
    }[severity];
    const request = new enginepb.LogRequest();
    request.setSeverity(level);
    request.setMessage(message.slice(0, messageLimit));
    request.setUrn(urn);
    request.setEphemeral(brief);
    return new Promise((resolve) => {
      client.log(request, (error) => {
        if (error !== null) {
          process.stderr.write(`${severity}: ${message} (engine not reached: ${error.message})\n`);
        }
        resolve();
      });
    });
  }
}

/** Turns an async function into a gRPC handler; what it throws becomes the call's error. */
export function unary<Request, Response>(
  answer: (request: Request) => Promise<Response> | Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    Promise.resolve()
      .then(() => answer(call.request))
      .then(
        (response) => callback(null, response),
        (error: unknown) => callback(grpcError(error)),
      );
  };
}

function grpcError(error: unknown): Error & { code: number; details: string } {
  const cause = error instanceof Error ? error : new Error(String(error));
  const code = "code" in cause && typeof cause.code === "number" ? cause.code : status.UNKNOWN;
  return Object.assign(cause, { code, details: cause.message });
}

/**
 * Serves a plugin the way the engine expects: on a free loopback port whose number is the first line of
 * standard output. The engine's own address is the first plain argument. The plugin ends with its parent.
 */
export async function servePlugin(
  engine: Engine,
  register: (server: Server) => void,
): Promise<void> {
  const address = process.argv.slice(2).find((argument) => !argument.startsWith("-"));
  if (address !== undefined) {
    engine.connect(address);
  }
  const large = 1024 * 1024 * 400;
  const server = new Server({
    "grpc.max_receive_message_length": large,
    "grpc.max_send_message_length": large,
  });
  register(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) {
        resolve(bound);
      } else {
        reject(error);
      }
    });
  });
  process.stdout.write(`${port}\n`);
  endWithParent();
}

/** An engine that was killed cannot stop its plugins, so each watches for being orphaned. */
function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) {
      process.exit(0);
    }
  }, 500).unref();
  // The engine starts its plugins apart from the terminal: an interrupt is its wish that they end.
  process.on("SIGINT", () => process.exit(0));
}

/** Adds a service whose handlers may be fewer than the service defines. */
export function addService(
  server: Server,
  service: unknown,
  handlers: UntypedServiceImplementation,
): void {
  server.addService(service as Parameters<Server["addService"]>[0], handlers);
}
