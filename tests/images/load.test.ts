import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../local/cluster/poll.ts";
import type { Measured } from "../cluster/support/load";
import { startLoad } from "../cluster/support/load";
import { freePort } from "../support/ports";
import { loopback } from "../support/servers/server";

const SECONDS = 1000;

let report: string;

beforeEach(() => (report = join(mkdtempSync(join(tmpdir(), "llmops-load-")), "report")));
afterEach(() => {
  rmSync(join(report, ".."), { recursive: true });
});

const load = (port: number) => ({
  address: `http://${loopback.address}:${String(port)}`,
  ...{ key: "k", models: ["a"], users: 2, pace: 0.1, report },
});

/** What clients make of a server that has answered them 20 times in this way. */
async function measure(listener: RequestListener): Promise<Measured> {
  let answered = 0;
  const server = createServer((request, response) => {
    answered += 1;
    listener(request, response);
  });
  await new Promise<void>((done) => server.listen(0, loopback.address, done));
  try {
    const running = await startLoad(load((server.address() as AddressInfo).port));
    await until("20 requests", 30, () => (answered >= 20 ? true : undefined));
    return await running.stop();
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

function expectAllLost({ figures, lost }: Measured): void {
  const [figure] = figures;
  expect(figure?.requests).toBeGreaterThanOrEqual(20);
  expect(figure?.failures).toBe(figure?.requests);
  expect(lost).toHaveLength(figure?.requests ?? 0);
}

describe("the clients of the load test", () => {
  test(
    "are content with whole answers and whole streams",
    async () => {
      const { figures, lost } = await measure((_, response) => {
        response.end('{"choices": []}\n\ndata: [DONE]\n\n');
      });
      expect(figures).toEqual([expect.objectContaining({ model: "a", failures: 0 })]);
      expect(lost).toEqual([]);
    },
    60 * SECONDS,
  );

  test.each<[string, RequestListener]>([
    ["a status of 503", (_, response) => response.writeHead(503).end()],
    ["an answer that says something else", (_, response) => response.end("{}")],
    [
      "an answer that breaks off",
      (_, response) => {
        response.writeHead(200, { "content-length": "1000" });
        response.write('{"choices": []}\n\ndata: [DONE]\n\n', () => response.destroy());
      },
    ],
    ["a connection that is closed", (request) => request.socket.destroy()],
  ])(
    "count %s as a loss",
    async (_, listener) => {
      expectAllLost(await measure(listener));
    },
    60 * SECONDS,
  );

  test(
    "count a connection that is refused as a loss",
    async () => {
      const running = await startLoad(load(await freePort()));
      expect((await running.stop()).lost).not.toEqual([]);
    },
    60 * SECONDS,
  );
});
