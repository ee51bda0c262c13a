import { spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { freePort } from "../support/ports";

test("a port is given once, also where many are asked for at once", async () => {
  const ports = await Promise.all(Array.from({ length: 40 }, freePort));
  expect(new Set(ports).size).toBe(40);
});

test("a port that somebody listens on is not given", async () => {
  const given = await freePort();
  const next = given + 1;
  const server = createServer();
  // An error says that another process listens there: that serves as well.
  await new Promise<unknown>((settled) => {
    server.once("error", settled).listen(next, "127.0.0.1", () => settled(undefined));
  });
  expect(await freePort()).toBeGreaterThan(next);
  server.close();
});

test("another process is not given it either", async () => {
  const given = await freePort();
  const lock = `const s = require("net").createServer();
    s.once("error", ({ code }) => { console.log(code); });
    s.listen("\\0llmops-test-port-${given}", () => s.close());`;
  const { stdout } = spawnSync(process.execPath, ["-e", lock], { encoding: "utf8" });
  expect(stdout.trim()).toBe("EADDRINUSE");
});
