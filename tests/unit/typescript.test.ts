import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { promisify } from "node:util";

const ROOT = join(__dirname, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "llmops-typescript-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Runs a script as Pulumi.yaml has the program run: gives what it prints. */
async function node(...script: string[]): Promise<string> {
  return nodeWith({}, ...script);
}

async function nodeWith(variables: NodeJS.ProcessEnv, ...script: string[]): Promise<string> {
  const args = ["--require", "./scripts/typescript.cjs", ...script];
  const env = { ...process.env, ...variables };
  const { stdout } = await promisify(execFile)("node", args, { cwd: ROOT, env });
  return stdout.trim();
}

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

/** What a script has loaded by its end, as paths below the project. */
async function loadedBy(script: string): Promise<readonly string[]> {
  const printed = `;console.log(JSON.stringify(Object.keys(require.cache)))`;
  const files = (await node("--eval", `${script}${printed}`)).split("\n").at(-1) ?? "";
  return (JSON.parse(files) as string[]).map((each) => relative(ROOT, each));
}

// Each starts Node several times.
jest.setTimeout(60_000);

const SWC = "node_modules/@swc/core/index.js";

test("a changed module is transpiled anew, one that is as it was is not", async () => {
  const word = file("word.ts", 'export const word: string = "first";');
  const main = file("main.ts", 'import { word } from "./word";\nconsole.log(word);\n');
  expect(await node(main)).toBe("first");
  writeFileSync(word, `export const word: string = "${randomUUID()}";`);
  const load = `require(${JSON.stringify(main)})`;
  expect(await loadedBy(load)).toContain(SWC);
  expect(await loadedBy(load)).not.toContain(SWC);
  writeFileSync(word, 'export const word: string = "second";');
  expect(await node(main)).toBe("second");
});

test("the stack of an error that ends the program names lines of the source", async () => {
  const types = "interface Gone {\n  readonly a: string;\n}\n\nexport const made: Gone[] = [];\n";
  const main = file("fails.ts", `${types}\nthrow new Error("planted");\n`);
  await expect(node(main)).rejects.toThrow(
    `Error: planted\n    at Object.<anonymous> (${main}:7:7)`,
  );
});

test("the program loads no compiler, and no provider whole", async () => {
  const load = `
    for (const file of require("node:fs").readdirSync("components")) require("./components/" + file);
    require("./config/load");`;
  await loadedBy(load);
  const files = await loadedBy(load);
  const loaded = (part: string): number => files.filter((each) => each.startsWith(part)).length;
  expect(files).toContain("components/frontDoor.ts");
  expect(files).not.toContain(SWC);
  expect(files).not.toContain("node_modules/@pulumi/gcp/index.js");
  expect(loaded("node_modules/ts-node/")).toBe(0);
  expect(loaded("node_modules/@pulumi/gcp/")).toBeLessThan(40);
  expect(loaded("node_modules/@pulumi/kubernetes/")).toBeLessThan(150);
  expect(files.length).toBeLessThan(1500);
});

/** Runs a script the way the engine does, where the SDK is relieved of what the program has no use for. */
async function asProgram(script: string, env: NodeJS.ProcessEnv = {}): Promise<unknown> {
  const runner = join(folder, "@pulumi", "pulumi", "cmd", "run");
  mkdirSync(runner, { recursive: true });
  const load = `require("node:module").createRequire(${JSON.stringify(join(ROOT, "package.json"))})`;
  writeFileSync(join(runner, "index.js"), `const load = ${load};\n${script}`);
  return JSON.parse(await nodeWith(env, join(runner, "index.js"))) as unknown;
}

test("the SDK's compiler, package manager and debugger are there once something of them is used", async () => {
  const found = await asProgram(`
    const { runtime } = load("@pulumi/pulumi");
    const count = () => ["typescript/lib", "@npmcli/arborist", "normalize-package-data"].map(
      (part) => Object.keys(require.cache).filter((file) => file.includes(part)).length > 0);
    const loaded = [count()];
    runtime.serializeFunction((x) => x + 40961).then(async ({ text }) => {
      loaded.push(count());
      const paths = await runtime.computeCodePaths();
      loaded.push(count());
      const packages = paths.has("node_modules/zod");
      console.log(JSON.stringify({ loaded, text, packages }));
    });`);
  expect(found).toEqual({
    loaded: [
      [false, false, false],
      [true, false, false],
      [true, true, true],
    ],
    text: expect.stringContaining("40961") as unknown,
    packages: true,
  });
});

test("a span of a run that nobody traces needs no tracer", async () => {
  const script = `
    const span = load("@pulumi/pulumi/cmd/run/tracing").newSpan("of a test");
    span.setAttribute("of", 1).end();
    console.log(JSON.stringify(Object.keys(require.cache).filter((file) => file.includes("sdk-trace")).length));`;
  expect(await asProgram(script)).toBe(0);
  expect(
    await asProgram(script, { TRACEPARENT: `00-${"1".repeat(32)}-${"1".repeat(16)}-01` }),
  ).toBeGreaterThan(0);
});

test("debug messages of one turn go to the engine together, those about a resource as they are", async () => {
  const messages = await asProgram(`
    const sent = [];
    load("@pulumi/pulumi/runtime/settings").getEngine = () => ({
      log: (request, done) => { sent.push(request.getMessage()); done(); },
    });
    const { log } = load("@pulumi/pulumi");
    log.debug("one");
    log.debug("of a stream", undefined, 7);
    log.debug("two").then(() => log.debug("three")).then(() => console.log(JSON.stringify(sent)));`);
  expect(messages).toEqual(["of a stream", "one\ntwo", "three"]);
});

test("promises keep the stack of where they were made only to be searched for leaks", async () => {
  const script = `
    const { debuggablePromise } = load("@pulumi/pulumi/runtime/debuggable");
    const promise = Promise.resolve();
    debuggablePromise(promise, "a test");
    const lines = (text) => text.split("\\n").length;
    console.log(JSON.stringify([lines(promise._debugStackTrace), lines(new Error("here").stack) > 3]));`;
  expect(await asProgram(script)).toEqual([1, true]);
  const [lines, others] = (await asProgram(script, { PULUMI_DEBUG_PROMISE_LEAKS: "1" })) as [
    number,
    boolean,
  ];
  expect(lines).toBeGreaterThan(3);
  expect(others).toBe(true);
});
