import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { PulumiProject } from "../engine/support/pulumiProject";

const program = `
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
class Credentials extends pulumi.ComponentResource {
  readonly key: pulumi.Output<string>;
  constructor() {
    super("llmops:index:Credentials", "credentials");
    const args = { length: 40, special: false };
    this.key = new random.RandomPassword("credentials-api-key", args, { parent: this }).result;
  }
}
export const key = new Credentials().key;
export const token = new pulumi.Config().requireSecret("HF_TOKEN");
`;

let project: PulumiProject;
beforeEach(async () => {
  project = await PulumiProject.create();
  await project.program(program);
  await project.succeed("config", "set", "--secret", "HF_TOKEN", "planted-token");
  await project.up();
}, 60_000);
afterEach(() => project.remove());

test("a state moves to another backend, its secrets encrypted, and the update there changes nothing", async () => {
  const other = await PulumiProject.create();
  try {
    const before = await project.outputs();
    const file = join(other.folder, "export.json");
    await project.succeed("stack", "export", "--file", file);
    for (const name of ["index.ts", "Pulumi.test.yaml"]) {
      await copyFile(join(project.folder, name), join(other.folder, name));
    }
    await other.succeed("stack", "import", "--file", file);
    expect(await other.planned()).toEqual({ same: 3 });
    expect(await other.outputs()).toEqual(before);
    for (const secret of ["planted-token", String(before["key"])]) {
      expect(await other.state()).not.toContain(secret);
    }
  } finally {
    await other.remove();
  }
}, 60_000);

test("a generated key is made anew by --replace, and by no other update", async () => {
  const before = await project.outputs();
  await project.up();
  expect(await project.outputs()).toEqual(before);
  await project.succeed("up", "--yes", "--skip-preview", "--replace", "**credentials-api-key");
  const after = await project.outputs();
  expect(after["key"]).toMatch(/^[A-Za-z0-9]{40}$/);
  expect(after["key"]).not.toBe(before["key"]);
  expect(after["token"]).toBe(before["token"]);
}, 60_000);
