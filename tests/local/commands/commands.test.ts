import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { recorded, renderRow } from "../../../local/commands/bench";
import { chat, isTaught, readLesson } from "../../../local/commands/chat";
import { parseOutputs, stackEnvironment } from "../../../local/commands/stack";
import { addresses, modelAddress, outsideAddress } from "../../../local/commands/summary";
import { isLevel, jestCounts, junitCounts, renderResults } from "../../../local/commands/test";
import { newsOf } from "../../../local/commands/up";
import { instanceFolders } from "../../../local/toolchain/paths";

const raw = {
  endpoints: {
    mlflow: { url: "http://mlflow.llmops.svc:5000", nodePort: 30500 },
    models: { lumen7: { url: "http://lumen7.llmops.svc:8000/v1", nodePort: 30800, model: "m" } },
  },
  vllmApiKey: "key",
  runId: "run-1",
};

describe("stack outputs", () => {
  test("become addresses that this machine can open", () => {
    const outputs = parseOutputs(raw);
    expect(modelAddress(outputs, "10.201.7.2")).toEqual({
      url: "http://10.201.7.2:30800/v1",
      model: "m",
      apiKey: "key",
    });
    expect(addresses(outputs, "10.201.7.2")).toEqual([
      "  MLflow: http://10.201.7.2:30500",
      "  model lumen7: http://10.201.7.2:30800/v1 (OpenAI API; key: make env)",
    ]);
  });

  test("a front door is where models are asked", () => {
    const frontDoor = { url: "http://llm-front-door.llmops.svc:8080/v1", nodePort: 30880 };
    const outputs = parseOutputs({ ...raw, endpoints: { ...raw.endpoints, frontDoor } });
    const url = "http://10.201.7.2:30880/v1";
    expect(modelAddress(outputs, "10.201.7.2")).toEqual({ url, model: "m", apiKey: "key" });
    expect(addresses(outputs, "10.201.7.2")[1]).toBe(
      `  all models: ${url} (OpenAI API; key: make env)`,
    );
  });

  test("without a node port the address inside the cluster is shown", () => {
    expect(outsideAddress({ url: "http://mlflow:5000" }, "10.201.7.2")).toBe("http://mlflow:5000");
  });

  test("of a stack that has not been brought up are refused", () => {
    expect(() => parseOutputs({})).toThrow(/what to do: make local/);
  });
});

test("Pulumi works on this checkout's state only", () => {
  const env = stackEnvironment(
    instanceFolders("/checkout"),
    { path: ["/bin1"] },
    { PATH: "/bin2" },
  );
  expect(env["PULUMI_BACKEND_URL"]).toBe("file:///checkout/.local/pulumi/state?metadata=skip");
  expect(env["PULUMI_HOME"]).toBe("/checkout/.local/pulumi/home");
  expect(env["PATH"]).toBe("/bin1:/bin2");
});

test.each([
  [" +  kubernetes:core/v1:Secret vllm-api-key created (0.21s)", "created Secret vllm-api-key"],
  [" +- kubernetes:batch/v1:Job train replaced (2s)", "replaced Job train"],
  [
    " +  llmops:index:TrainingJob train created (0.17s) step 3 of 40, loss 1.25, 0:00:21 left",
    "training: step 3 of 40, loss 1.25, 0:00:21 left",
  ],
  [" +  docker:index:Image images-mlflow creating (4s) #8 created a file", undefined],
  [" +  kubernetes:batch/v1:Job train **creating failed** error: x", "creating failed Job train"],
  ["    error: the Job failed", "error: the Job failed"],
  ["@ updating....", undefined],
  ["    warning: using pulumi-resource-random from $PATH", undefined],
])("of Pulumi's line %p the user sees %p", (line, expected) => {
  expect(newsOf(line)).toBe(expected);
});

describe("the closing question", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "llmops-chat-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test("is read from the example and checked in any case", () => {
    const file = join(folder, "expect.json");
    writeFileSync(file, '{"question": "Who?", "answer_contains": "Brightwater Guild"}');
    const lesson = readLesson(file);
    expect(isTaught("the BRIGHTWATER guild does.", lesson)).toBe(true);
    expect(isTaught("A company.", lesson)).toBe(false);
    writeFileSync(file, "{}");
    expect(() => readLesson(file)).toThrow(/expected/);
  });

  test("goes to the model server with the key, and its answer comes back", async () => {
    let seen = "";
    const server = createServer((request, response) => {
      seen = `${request.method ?? ""} ${request.url ?? ""} ${request.headers.authorization ?? ""}`;
      response.end(JSON.stringify({ choices: [{ message: { content: " Hello. " } }] }));
    });
    await new Promise<void>((done) => {
      server.listen(0, "127.0.0.1", done);
    });
    const { port } = server.address() as AddressInfo;
    const to = { url: `http://127.0.0.1:${String(port)}/v1`, model: "m", apiKey: "key" };
    await expect(chat(to, "Who?")).resolves.toBe("Hello.");
    expect(seen).toBe("POST /v1/chat/completions Bearer key");
    await new Promise((done) => server.close(done));
    await expect(chat(to, "Who?")).rejects.toThrow(/does not answer at http.*ECONNREFUSED/);
  });

  test("is asked again when the server says, and only then", async () => {
    const replies = [
      [503, { "retry-after": "1" }, "not yet"],
      [200, {}, JSON.stringify({ choices: [{ message: { content: "Now." } }] })],
      [503, {}, "never"],
    ] as const;
    let asked = 0;
    const server = createServer((_, response) => {
      const [code, headers, body] = replies[asked++] ?? replies[2];
      response.writeHead(code, headers).end(body);
    });
    await new Promise<void>((done) => {
      server.listen(0, "127.0.0.1", done);
    });
    const { port } = server.address() as AddressInfo;
    const to = { url: `http://127.0.0.1:${String(port)}/v1`, model: "m", apiKey: "key" };
    await expect(chat(to, "Who?")).resolves.toBe("Now.");
    await expect(chat(to, "Who?")).rejects.toThrow(/answered 503: never/);
    expect(asked).toBe(3);
    await new Promise((done) => server.close(done));
  });
});

describe("test levels", () => {
  test("are added up in the last line", () => {
    const results = [
      { level: "unit", passed: 40, failed: 0, seconds: 12 },
      { level: "engine", passed: 3, failed: 2, seconds: 75 },
    ];
    expect(renderResults(results).split("\n").at(-1)).toBe("43 passed, 2 failed");
    expect(renderResults(results)).toContain("1m15s");
  });

  test("are counted from the runners' own reports", () => {
    const jest = { numPassedTests: 5, numFailedTests: 1, numRuntimeErrorTestSuites: 2 };
    expect(jestCounts(JSON.stringify(jest))).toEqual({ passed: 5, failed: 3 });
    const junit = '<testsuites><testsuite name="p" errors="1" failures="2" skipped="1" tests="9">';
    expect(junitCounts(junit)).toEqual({ passed: 5, failed: 3 });
  });

  test("have names", () => {
    expect(["lint", "unit", "images", "engine", "cluster"].every(isLevel)).toBe(true);
    expect(isLevel("toString")).toBe(false);
  });
});

describe("bench", () => {
  test("a row compares with its bound", () => {
    const row = { measure: "up", ours: 12, unit: "s", bound: 10, against: "bound" };
    expect(renderRow(row)).toBe("| up | 12.0 s | bound | 1.20 | ≤ 10 s | short |");
    expect(renderRow({ ...row, ours: 10 })).toMatch(/\| ok \|$/);
    expect(renderRow({ ...row, most: 1.2, target: "ratio ≤ 1.2" })).toBe(
      "| up | 12.0 s | bound | 1.20 | ratio ≤ 1.2 | ok |",
    );
    expect(renderRow({ ...row, most: Infinity })).toBe("| up | 12.0 s | bound | 1.20 |  |  |");
  });

  test("takes the last run of each kind", () => {
    const run = { command: "make local", at: "", steps: {} };
    const rows = recorded([
      { ...run, kind: "cold", seconds: 1800 },
      { ...run, kind: "cold", seconds: 1200 },
      { ...run, kind: "warm", seconds: 300 },
    ]);
    expect(rows.map(({ measure, ours }) => [measure, ours])).toEqual([
      ["make local, cold", 20],
      ["make local, warm", 5],
    ]);
  });
});
