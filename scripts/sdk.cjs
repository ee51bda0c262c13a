/**
 * Spares a run what Pulumi's SDK does at each start, and for each promise, in the service of programs that have functions
 * serialized, are traced or are being debugged. Whatever of it is asked for is still there.
 */
"use strict";
const Module = require("node:module");
const { setImmediate: endOfTurn } = require("node:timers/promises");

const sdk = Module.createRequire(require.resolve("@pulumi/pulumi"));

/** To be called before the SDK is loaded. */
exports.relieve = function relieve() {
  // What is traced must not be loaded before the tracer: such a run is left as it is.
  if (process.env.TRACEPARENT !== undefined || process.argv.includes("--tracing")) return;
  const { trace } = sdk("@opentelemetry/api");
  putInPlace("./cmd/run/tracing", () => ({
    newSpan: (name) => trace.getTracer("nodejs-runtime").startSpan(name),
  }));

  // The TypeScript compiler and npm's package manager are half of the SDK's modules.
  putOff("./runtime/closure/serializeClosure", "serializeFunction", "serializeFunctionAsync");
  putOff("./runtime/closure/codePaths", "computeCodePaths");
  // A session of V8's debugger: it starts with the first function that is serialized.
  sdk("./runtime/closure/v8Hooks").isInitializedAsync = () => Promise.resolve();

  sendTogether(sdk("./log"), sdk("./runtime/settings"));
  leaveStacksOut(sdk("./runtime/debuggable"));
};

/** Has a module loaded by the first call of one of its functions. */
function putOff(name, ...functions) {
  putInPlace(name, (load) =>
    Object.fromEntries(functions.map((each) => [each, (...args) => load()[each](...args)])),
  );
}

function putInPlace(name, exportsOf) {
  const file = sdk.resolve(name);
  const stub = new Module(file);
  stub.loaded = true;
  stub.exports = exportsOf(() => {
    if (require.cache[file] === stub) delete require.cache[file];
    return require(file);
  });
  require.cache[file] = stub;
}

/**
 * Three or four messages a resource, which `--debug` shows: each was a call to the engine of its own, and waited for the
 * one before. Those of one turn of the event loop are now one.
 */
function sendTogether(log, { rpcKeepAlive }) {
  const { debug } = log;
  const lines = [];
  let sent;
  const send = async () => {
    const release = rpcKeepAlive();
    await endOfTurn();
    sent = undefined;
    await debug(lines.splice(0).join("\n"));
    release();
  };
  log.debug = (line, ...about) => {
    if (about.length > 0) return debug(line, ...about);
    lines.push(line);
    return (sent ??= send());
  };
}

/** Each promise was given the stack of where it was made, which is printed only where this variable asks for it. */
function leaveStacksOut(debuggable) {
  const { debuggablePromise, debugPromiseLeaks } = debuggable;
  if (debugPromiseLeaks) return;
  debuggable.debuggablePromise = (promise, context) => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      return debuggablePromise(promise, context);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  };
}
