import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { loopback } from "./server";

/** A request that arrived. */
export interface Arrived {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly model: string;
  /** Which trace the request is part of, where it is traced. */
  readonly traceparent?: string;
}

interface Body {
  readonly model: string;
  readonly stream?: boolean;
}

/**
 * An HTTP server that speaks as much of the OpenAI API as its clients need to be content. A stream
 * sends one chunk for each call of {@link next}, and ends with {@link finish}.
 */
export class ModelStub {
  public readonly arrived: Arrived[] = [];
  readonly #name: string;
  readonly #server: Server;
  readonly #streams = new Set<ServerResponse>();

  private constructor(name: string) {
    this.#name = name;
    this.#server = createServer((request, response) => {
      void this.#answer(request, response);
    });
  }

  /** Starts a server whose answers are its name. */
  public static async start(name: string, port: number): Promise<ModelStub> {
    const stub = new ModelStub(name);
    await new Promise<void>((done, fail) => {
      stub.#server.once("error", fail).listen(port, loopback.address, done);
    });
    return stub;
  }

  /** Sends a chunk with this text on every open stream. */
  public next(content: string): void {
    for (const stream of this.#streams) {
      const chunk = {
        choices: [{ index: 0, delta: { content } }],
        object: "chat.completion.chunk",
      };
      stream.write(`data: ${JSON.stringify(chunk)}\n\n`);
    }
  }

  /** Ends every open stream. */
  public finish(): void {
    for (const stream of this.#streams) stream.end("data: [DONE]\n\n");
    this.#streams.clear();
  }

  /** Ends the server and its connections. */
  public async stop(): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { model, stream } = JSON.parse(await text(request)) as Body;
    const { authorization, traceparent } = request.headers;
    this.arrived.push({
      ...{ path: request.url ?? "", authorization, model },
      ...(typeof traceparent === "string" ? { traceparent } : {}),
    });
    if (stream === true) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      this.#streams.add(response);
      return;
    }
    const message = { role: "assistant", content: this.#name };
    const choices = [{ index: 0, message, finish_reason: "stop" }];
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ id: "1", object: "chat.completion", model, choices }));
  }
}
