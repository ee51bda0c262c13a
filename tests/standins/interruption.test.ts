import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { until } from "../../local/cluster/poll.ts";
import { useEngine } from "../engine/support/engine";

const maps = "/api/v1/namespaces/default/configmaps";
const deployments = "/apis/apps/v1/namespaces/default/deployments";
const update = ["up", "--yes", "--skip-preview", "--suppress-progress"];

/** Objects that are made one after the other. */
const chain = (length: number): string => `
import * as k8s from "@pulumi/kubernetes";
let dependsOn: k8s.core.v1.ConfigMap[] = [];
for (let link = 0; link < ${String(length)}; link++) {
  const args = { metadata: { name: "link-" + link }, data: { link: String(link) } };
  dependsOn = [new k8s.core.v1.ConfigMap("link-" + link, args, { dependsOn })];
}
`;

const rollout = `
import * as k8s from "@pulumi/kubernetes";
const labels = { app: "stuck" };
const containers = [{ name: "stuck", image: "stuck:1" }];
new k8s.apps.v1.Deployment("stuck", {
  metadata: { name: "stuck" },
  spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
});
`;

const engine = useEngine();

test("an interrupted update stops waiting, keeps what it has made, and goes on next time", async () => {
  await engine.project.program(rollout);
  const running = engine.project.start(...update);
  await until("the Deployment", 60, () => engine.plane.request("GET", `${deployments}/stuck`));
  running.signal("SIGINT");
  const { code, text } = await running.ended;
  expect(code).not.toBe(0);
  expect(text).toContain("the wait for it was interrupted");
  expect(await engine.project.planned()).toEqual({ same: 1, update: 1 });
  await engine.project.succeed("destroy", "--yes", "--skip-preview");
}, 180_000);

test("an update that is killed anywhere converges when it is run again", async () => {
  const length = 5;
  await engine.project.program(chain(length));
  for (let link = 0; link < length; link++) {
    const running = engine.project.start(...update);
    await until(`link ${String(link)}`, 60, () =>
      engine.plane.request("GET", `${maps}/link-${String(link)}`),
    );
    running.signal("SIGKILL");
    await running.ended;
    await engine.project.unlock();
  }
  await engine.project.up();
  expect(await engine.project.planned()).toEqual({ same: length + 1 });
  // A file that is written in place is left empty by a kill at the wrong moment: the state must have none.
  const state = await readdir(join(engine.project.folder, "state"), { recursive: true });
  expect(state.filter((name) => name.endsWith(".attrs"))).toEqual([]);
  for (let link = 0; link < length; link++) {
    const found = await engine.plane.request("GET", `${maps}/link-${String(link)}`);
    expect(found?.["data"]).toEqual({ link: String(link) });
  }
  await engine.project.succeed("destroy", "--yes", "--skip-preview");
  for (let link = 0; link < length; link++) {
    expect(await engine.plane.request("GET", `${maps}/link-${String(link)}`)).toBeUndefined();
  }
}, 300_000);
