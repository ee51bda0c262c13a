/**
 * Lets Node load the project's TypeScript modules: `node --require ./scripts/typescript.cjs`. Pulumi.yaml names it in place of
 * Pulumi's own way, ts-node, which loads the TypeScript compiler and transpiles everything at each start. Here each
 * module is transpiled once (types are checked by `make lint`), and what V8 has compiled is kept too.
 */
"use strict";
const { createHash } = require("node:crypto");
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const Module = require("node:module");
const { dirname, join } = require("node:path");
const { setFlagsFromString } = require("node:v8");

const CACHE = join(dirname(__dirname), "node_modules", ".cache", "llmops");
const OPTIONS = {
  configFile: false,
  swcrc: false,
  jsc: { parser: { syntax: "typescript" }, target: "es2022" },
  module: { type: "commonjs" },
  sourceMaps: true,
};
const RECIPE = JSON.stringify([require("@swc/core/package.json").version, OPTIONS]);

/** Source maps of the loaded modules, as text, by file. */
const maps = new Map();

// The program ends soon: V8 is to compile for speed only what is called much more often than it asks for otherwise (3000).
// Set here and not in Pulumi.yaml, where a Node that does not know the flag would not start.
setFlagsFromString("--invocation-count-for-turbofan=20000");
Module.enableCompileCache(join(CACHE, "v8"));
Module._extensions[".ts"] = (module, file) => {
  const { code, map } = transpiled(file);
  maps.set(file, map);
  module._compile(code, file);
};

if (process.argv[1]?.includes("@pulumi/pulumi/cmd/run")) require("./sdk.cjs").relieve();

// Pulumi keeps the stack of every resource as text and has source-map-support translate each frame of it. Nobody reads
// them: frames are translated once an error ends the program.
process.on("uncaughtExceptionMonitor", translateStacks);
process.nextTick(() => {
  Error.prepareStackTrace = undefined;
  // As the only listener it would make Node go on after a rejection.
  if (process.listenerCount("unhandledRejection") > 0) {
    process.prependListener("unhandledRejection", translateStacks);
  }
});

function translateStacks() {
  Error.prepareStackTrace = (error, frames) =>
    [String(error), ...frames.map((frame) => `    at ${inSource(frame)}`)].join("\n");
}

/** A module as JavaScript, with its source map: kept by its source, the map on the first line. */
function transpiled(file) {
  const source = readFileSync(file, "utf8");
  const key = createHash("sha256").update(RECIPE).update(source).digest("hex");
  const entry = join(CACHE, "js", `${key}.js`);
  const [map, ...lines] = read(entry)?.split("\n") ?? [];
  if (map !== undefined) return { map, code: lines.join("\n") };
  const fresh = require("@swc/core").transformSync(source, { ...OPTIONS, filename: file });
  keep(entry, `${fresh.map}\n${fresh.code}`);
  return fresh;
}

function read(entry) {
  try {
    return readFileSync(entry, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Whole or not at all, so that several programs may start at once. */
function keep(entry, text) {
  const partial = `${entry}.${process.pid}`;
  try {
    mkdirSync(dirname(entry), { recursive: true });
    writeFileSync(partial, text);
    renameSync(partial, entry);
  } catch (error) {
    // An installation that may not be written to works, only slower.
    if (error.code !== "EACCES" && error.code !== "EROFS") throw error;
  }
}

function inSource(frame) {
  const [file, line, column] = [
    frame.getFileName(),
    frame.getLineNumber(),
    frame.getColumnNumber(),
  ];
  const map = maps.get(file);
  if (map === undefined) return String(frame);
  const { lineNumber, columnNumber } = new Module.SourceMap(JSON.parse(map)).findOrigin(
    line,
    column,
  );
  return String(frame).replace(
    `${file}:${line}:${column}`,
    `${file}:${lineNumber}:${columnNumber}`,
  );
}
