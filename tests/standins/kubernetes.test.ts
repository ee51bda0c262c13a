import { useEngine } from "../engine/support/engine";

const token = "planted-token-value-71";

interface Settings {
  readonly greeting?: string;
  readonly image?: string;
  readonly extra?: string;
}

const program = ({ greeting = "hello", image = "app:1", extra = "" }: Settings = {}) => `
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
const quiet = { "pulumi.com/skipAwait": "true" };
const labels = { app: "web" };
const namespace = new k8s.core.v1.Namespace("ns", { metadata: { name: "first" } });
const scope = { namespace: namespace.metadata.name };
const config = new k8s.core.v1.ConfigMap("config", {
  metadata: scope, data: { greeting: "${greeting}" },
});
const secret = new k8s.core.v1.Secret("secret", {
  metadata: { ...scope, name: "fixed" }, stringData: { token: pulumi.secret("${token}") },
});
const podSpec = (name: string, restartPolicy: string) => ({
  restartPolicy,
  containers: [{ name, image: "${image}", envFrom: [{ configMapRef: { name: config.metadata.name } }] }],
});
const web = new k8s.apps.v1.Deployment("web", {
  metadata: { ...scope, name: "web", annotations: quiet },
  spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec("web", "Always") } },
});
const job = new k8s.batch.v1.Job("job", {
  metadata: { ...scope, name: "job", annotations: quiet },
  spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "job", image: "${image}" }] } } },
});
const volume = new k8s.core.v1.PersistentVolumeClaim("claim", {
  metadata: { ...scope, name: "claim", annotations: quiet },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
});
${extra}
export const configName = config.metadata.name;
export const uid = web.metadata.uid;
`;

const engine = useEngine();

test("objects are applied, kept, replaced or updated by the official rules, and deleted", async () => {
  await engine.project.program(program());
  expect(await engine.project.planned()).toEqual({ create: 7 });
  const { text } = await engine.project.up();
  const { configName } = await engine.project.outputs();
  expect(configName).toMatch(/^config-[0-9a-f]{8}$/);
  const stored = await engine.plane.request("GET", "/api/v1/namespaces/first/secrets/fixed");
  expect(stored?.["data"]).toEqual({ token: Buffer.from(token).toString("base64") });
  for (const place of [text, await engine.project.state()]) {
    expect(place).not.toContain(token);
    expect(place).not.toContain(Buffer.from(token).toString("base64"));
  }

  expect(await engine.project.planned()).toEqual({ same: 7 });

  await engine.project.program(program({ greeting: "good evening" }));
  expect(await engine.project.plan()).toEqual([
    { op: "replace", name: "config", replaceReasons: ["data.greeting"] },
    { op: "update", name: "web", replaceReasons: [] },
  ]);
  await engine.project.up();
  const renamed = String((await engine.project.outputs())["configName"]);
  expect(renamed).not.toBe(configName);
  const maps = "/api/v1/namespaces/first/configmaps";
  expect(await engine.plane.request("GET", `${maps}/${renamed}`)).toBeDefined();
  expect(await engine.plane.request("GET", `${maps}/${String(configName)}`)).toBeUndefined();

  await engine.project.program(program({ greeting: "good evening", image: "app:2" }));
  const plan = await engine.project.plan();
  expect(plan.map(({ op, name }) => `${op} ${name}`).sort()).toEqual(["replace job", "update web"]);
  await engine.project.up();
  expect(await engine.project.planned()).toEqual({ same: 7 });

  await engine.project.succeed("destroy", "--yes", "--skip-preview");
  expect(await engine.plane.request("GET", "/api/v1/namespaces/first")).toBeUndefined();
}, 600_000);

test("a fault that only the API server sees stops the preview, also in a new namespace", async () => {
  const fault = `new k8s.core.v1.ConfigMap("bad", {
    metadata: { ...scope, name: "Not_A_Name" }, data: { key: "value" },
  });`;
  await engine.project.program(program({ extra: fault }).replaceAll('"first"', '"second"'));
  const outcome = await engine.project.run("preview");
  expect(outcome.code).not.toBe(0);
  expect(outcome.text).toContain("Not_A_Name");
  expect(await engine.plane.request("GET", "/api/v1/namespaces/second")).toBeUndefined();
}, 120_000);

test("an unknown field is refused by name", async () => {
  await engine.project.program(`
    import * as k8s from "@pulumi/kubernetes";
    const spec = { ports: [{ port: 1 }], portz: 1 };
    new k8s.core.v1.Service("service", { metadata: { name: "unknown-field" }, spec });
  `);
  const outcome = await engine.project.run("preview");
  expect(outcome.code).not.toBe(0);
  expect(outcome.text).toContain("portz");
}, 120_000);

test("an object that is already there is not taken over silently", async () => {
  await engine.plane.request("POST", "/api/v1/namespaces/default/configmaps", {
    metadata: { name: "taken" },
  });
  await engine.project.program(`
    import * as k8s from "@pulumi/kubernetes";
    new k8s.core.v1.ConfigMap("taken", { metadata: { name: "taken" }, data: { a: "b" } });
  `);
  const outcome = await engine.project.tryUp();
  expect(outcome.code).not.toBe(0);
  expect(outcome.text).toContain("already exists");
}, 120_000);

test("refresh sees what others changed, the next update puts it right, and a lost object comes back", async () => {
  await engine.project.program(`
    import * as k8s from "@pulumi/kubernetes";
    const metadata = (name: string) => ({ name, annotations: { "pulumi.com/patchForce": "true" } });
    new k8s.core.v1.ConfigMap("drift", { metadata: metadata("drift"), data: { a: "ours" } });
    new k8s.core.v1.ConfigMap("lost", { metadata: metadata("lost"), data: { a: "ours" } });
  `);
  await engine.project.up();
  const path = "/api/v1/namespaces/default/configmaps";
  await engine.plane.request("PATCH", `${path}/drift`, { data: { a: "theirs" } });
  await engine.plane.request("DELETE", `${path}/lost`);
  expect(await engine.project.planned()).toEqual({ same: 3 });
  await engine.project.succeed("refresh", "--yes", "--skip-preview");
  await engine.project.up();
  expect((await engine.plane.request("GET", `${path}/drift`))?.["data"]).toEqual({ a: "ours" });
  expect((await engine.plane.request("GET", `${path}/lost`))?.["data"]).toEqual({ a: "ours" });
  await engine.project.succeed("destroy", "--yes", "--skip-preview");
}, 240_000);

test("what is there is taken over by import as it is, and changed once changes are no longer ignored", async () => {
  const namespaces = "/api/v1/namespaces";
  const claims = `${namespaces}/owned/persistentvolumeclaims`;
  await engine.plane.request("POST", namespaces, { metadata: { name: "owned" } });
  const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "3Gi" } } };
  await engine.plane.request("POST", claims, {
    metadata: { name: "data" },
    spec: { ...spec, volumeName: "by-hand", storageClassName: "" },
  });
  const source = (namespaceOptions: string) => `
    import * as k8s from "@pulumi/kubernetes";
    const kept = { ignoreChanges: ["metadata", "spec"] };
    const namespace = new k8s.core.v1.Namespace(
      "ns", { metadata: { name: "owned", labels: { level: "restricted" } } }, ${namespaceOptions},
    );
    const metadata = { name: "data", namespace: namespace.metadata.name };
    const options = { import: "owned/data", ...kept, protect: true };
    new k8s.core.v1.PersistentVolumeClaim("claim", { metadata }, options);
  `;
  const found = await engine.plane.request("GET", `${claims}/data`);
  await engine.project.program(source('{ import: "owned", ...kept }'));
  expect((await engine.project.plan()).map(({ op, name }) => `${op} ${name}`)).toEqual([
    "import ns",
    "import claim",
  ]);
  await engine.project.up();
  expect(await engine.plane.request("GET", `${claims}/data`)).toEqual(found);
  expect(await engine.project.planned()).toEqual({ same: 3 });

  await engine.project.program(source("{}"));
  expect(await engine.project.plan()).toEqual([{ op: "update", name: "ns", replaceReasons: [] }]);
  await engine.project.up();
  expect(await engine.plane.request("GET", `${namespaces}/owned`)).toMatchObject({
    metadata: { labels: { level: "restricted", "kubernetes.io/metadata.name": "owned" } },
  });
  expect(await engine.plane.request("GET", `${claims}/data`)).toEqual(found);
}, 240_000);
