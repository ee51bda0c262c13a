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
  const loader = ["--require", "./scripts/typescript.cjs"];
  const { stdout } = await promisify(execFile)("node", [...loader, ...script], { cwd: ROOT });
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

test("the SDK's compiler and package manager are there once something of them is used", async () => {
  const runner = join(folder, "@pulumi", "pulumi", "cmd", "run");
  mkdirSync(runner, { recursive: true });
  const script = `
    const load = require("node:module").createRequire(${JSON.stringify(join(ROOT, "package.json"))});
    const pulumi = load("@pulumi/pulumi");
    const modules = [Object.keys(require.cache).length];
    pulumi.runtime.serializeFunction((x) => x + 40961).then(({ text }) => {
      const { Arborist } = load("@npmcli/arborist");
      modules.push(Object.keys(require.cache).length);
      console.log(JSON.stringify({ modules, text, made: new Arborist({}).constructor.name }));
    });`;
  writeFileSync(join(runner, "index.js"), script);
  const { modules, text, made } = JSON.parse(await node(join(runner, "index.js"))) as {
    modules: readonly [number, number];
    text: string;
    made: string;
  };
  expect(text).toContain("40961");
  expect(made).toBe("Arborist");
  expect(modules[0]).toBeLessThan(400);
  expect(modules[1]).toBeGreaterThan(700);
});
