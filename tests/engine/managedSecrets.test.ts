import { externalSecretSpec, secretStoreSpec } from "../../workloads/secretManager";
import type { ApiObject } from "./support/controlPlane";
import { useEngine } from "./support/engine";
import { installDefinitions } from "./support/goModule";

const OBJECTS = "/apis/external-secrets.io/v1/namespaces/default";
const DEFINITIONS = {
  folder: "external-secrets",
  module: "github.com/external-secrets/external-secrets",
  files: ["externalsecrets", "secretstores"].map(
    (plural) => `config/crds/bases/external-secrets.io_${plural}.yaml`,
  ),
};

/** The component as the stack uses it, and something that refers to one of its Secrets. */
const program = (version: number): string => `
import * as k8s from "@pulumi/kubernetes";
import { ManagedSecrets } from "./components/managedSecrets";
const url = { ARTIFACTORY_URL: { secret: "artifactory-url", version: 1 } };
const { names } = new ManagedSecrets("managed", {
  namespace: "default",
  source: {
    project: "acme-ml",
    account: "llmops-secrets@acme-ml.iam.gserviceaccount.com",
    secrets: new Map([
      ["hf-secret", { HF_TOKEN: { secret: "hub-token", version: ${String(version)} } }],
      ["artifactory-secret", url],
    ]),
  },
});
new k8s.core.v1.ConfigMap("hub", { metadata: { name: "hub" }, data: { secret: names["HF_TOKEN"] ?? "" } });
new k8s.core.v1.ConfigMap("site", { metadata: { name: "site" }, data: { secret: names["ARTIFACTORY_URL"] ?? "" } });
`;

const engine = useEngine();

const specOf = async (path: string): Promise<object> =>
  (await engine.plane.request("GET", `${OBJECTS}/${path}`))?.["spec"] ?? {};

test("External Secrets' API takes the objects, and another version is another Secret for those that use it", async () => {
  const { project, plane } = engine;
  await installDefinitions(plane, DEFINITIONS);
  await project.linkSources();
  await project.program(program(3));
  await project.up();
  expect(await project.planned()).toEqual({ same: 8 });

  const secretOf = async (name: string): Promise<string> => {
    const map = await plane.request("GET", `/api/v1/namespaces/default/configmaps/${name}`);
    return (map?.["data"] as { secret: string }).secret;
  };
  const first = await secretOf("hub");
  expect(first).toMatch(/^hf-secret-/);
  expect(await specOf(`externalsecrets/${first}`)).toMatchObject(
    externalSecretSpec("secret-manager", { HF_TOKEN: { secret: "hub-token", version: 3 } }),
  );
  expect(await specOf("secretstores/secret-manager")).toMatchObject(
    secretStoreSpec("acme-ml", "llmops-secrets"),
  );
  // The schema is one that refuses: the same object with a field that it does not have.
  const wrong: ApiObject = {
    apiVersion: "external-secrets.io/v1",
    kind: "SecretStore",
    metadata: { name: "wrong" },
    spec: { ...secretStoreSpec("acme-ml", "llmops-secrets"), project: "acme-ml" },
  };
  const strict = `${OBJECTS}/secretstores?dryRun=All&fieldValidation=Strict`;
  await expect(plane.request("POST", strict, wrong)).rejects.toThrow(/unknown field/);

  await project.program(program(4));
  const changed = (await project.plan()).filter(({ op }) => op !== "same");
  expect(changed.map(({ op, name }) => `${op} ${name}`).sort()).toEqual([
    "replace hf-secret",
    "replace hub",
  ]);
  await project.up();
  const second = await secretOf("hub");
  expect(second).not.toBe(first);
  expect(await specOf(`externalsecrets/${second}`)).toMatchObject({
    data: [{ remoteRef: { key: "hub-token", version: "4" } }],
  });
  expect(await plane.request("GET", `${OBJECTS}/externalsecrets/${first}`)).toBeUndefined();
}, 300_000);
