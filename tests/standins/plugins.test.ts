import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { downloadPlugins, pluginVersion, sharePlugins } from "../../local/toolchain/plugins";
import { officialPlugins } from "../../local/standins/install";
import { toolsEnvironment } from "../engine/support/processes";

const checkout = resolve(__dirname, "../..");
const command =
  (toolsEnvironment()["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "pulumi"))
    .find((file) => existsSync(file)) ?? "pulumi";

let folder: string;
let asked: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmops-plugins-"));
  asked = [];
});
afterEach(() => {
  delete process.env["PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES"];
  rmSync(folder, { recursive: true });
});

/** Serves `archive` as every plugin, or nothing, in the place of Pulumi's own site. */
async function withSite(archive: Buffer | undefined, work: () => Promise<void>): Promise<void> {
  const site = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.writeHead(archive === undefined ? 404 : 200, {
      "content-length": archive?.length ?? 0,
    });
    response.end(archive);
  });
  await new Promise<void>((listening) => site.listen(0, "127.0.0.1", listening));
  const { port } = site.address() as AddressInfo;
  process.env["PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES"] = `.*=http://127.0.0.1:${String(port)}`;
  try {
    await work();
  } finally {
    await new Promise((closed) => site.close(closed));
  }
}

test("an official plugin that can be downloaded is taken, once", async () => {
  const program = join(folder, "pulumi-resource-random");
  writeFileSync(program, "#!/bin/sh\n");
  chmodSync(program, 0o755);
  const archive = execFileSync("tar", ["-cz", "-C", folder, "pulumi-resource-random"]);
  const store = { command, home: join(folder, "store"), checkout };
  await withSite(archive, async () => {
    await downloadPlugins(store, ["random"]);
    await downloadPlugins(store, ["random"]);
  });
  const version = pluginVersion(checkout, "random");
  expect(asked).toEqual([`/pulumi-resource-random-v${version}-linux-amd64.tar.gz`]);
  await sharePlugins(store.home, join(folder, "home"));
  const official = (of: string) => officialPlugins([], join(folder, "home"), () => of);
  expect(await official(version)).toEqual(["pulumi-resource-random"]);
  expect(await official("0.0.1")).toEqual([]);
}, 60_000);

test("one that cannot be downloaded is not asked for again on the same day", async () => {
  const store = { command, home: join(folder, "store"), checkout };
  await withSite(undefined, async () => {
    await downloadPlugins(store, ["random"]);
    const once = asked.length;
    expect(once).toBeGreaterThan(0);
    await downloadPlugins(store, ["random"]);
    expect(asked).toHaveLength(once);
  });
  await sharePlugins(store.home, join(folder, "home"));
  expect(await officialPlugins([], join(folder, "home"), () => "0.0.1")).toEqual([]);
  expect(readFileSync(join(store.home, "download.log"), "utf8")).toContain("404");
}, 60_000);
