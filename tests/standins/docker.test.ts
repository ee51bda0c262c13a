import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DockerEngine } from "../engine/support/dockerEngine";
import { PulumiProject } from "../engine/support/pulumiProject";

const password = "planted-registry-password";
const argument = "planted-build-argument";

let docker: DockerEngine;
let project: PulumiProject;

const program = (name: string, build = "") => `
import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
const image = new docker.Image("app", {
  imageName: "${name}",
  build: {
    context: "context", dockerfile: "context/app/Dockerfile", platform: "linux/amd64",
    args: { SECRET: pulumi.secret("${argument}") }, ${build}
  },
  registry: { server: "${docker.registry}", username: "user", password: pulumi.secret("${password}") },
});
export const digest = image.repoDigest;
export const imageName = image.imageName;
`;

async function context(files: Record<string, string>): Promise<void> {
  await mkdir(join(project.folder, "context", "app"), { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(project.folder, "context", name), text);
  }
}

beforeAll(async () => {
  docker = await DockerEngine.start();
}, 180_000);

afterAll(() => docker.stop());

beforeEach(async () => {
  project = await PulumiProject.create(docker.env);
  await context({
    "app/Dockerfile": "FROM scratch\nARG SECRET\nCOPY wanted.txt /\n",
    "app/Dockerfile.dockerignore": "*\n!wanted.txt\n",
    "wanted.txt": "first\n",
    "unwanted.txt": "first\n",
  });
}, 60_000);

afterEach(() => project.remove());

test("an image is built and pushed when something it is made of changes, and only then", async () => {
  await project.program(program(`${docker.registry}/app:1`));
  expect(await project.planned()).toEqual({ create: 2 });
  expect((await docker.manifest("app/manifests/1")).code).toBe(404);
  const first = await project.up();
  const { digest, imageName } = await project.outputs();
  expect(imageName).toBe(`${docker.registry}/app:1`);
  const pushed = await docker.manifest("app/manifests/1");
  expect(digest).toBe(`${docker.registry}/app@${String(pushed.digest)}`);
  for (const place of [first.text, await project.state()]) {
    expect(place).not.toContain(password);
    expect(place).not.toContain(argument);
  }

  expect(await project.planned()).toEqual({ same: 2 });
  await context({ "unwanted.txt": "second\n" });
  await project.program(program(`${docker.registry}/app:1`).replace('"user"', '"other"'));
  expect(await project.planned()).toEqual({ same: 2 });

  await context({ "wanted.txt": "second\n" });
  expect(await project.planned()).toEqual({ same: 1, update: 1 });
  await project.up();
  expect((await project.outputs())["digest"]).not.toBe(digest);
  expect(await project.planned()).toEqual({ same: 2 });
  await project.succeed("destroy", "--yes", "--skip-preview");
}, 300_000);

test("a build that fails shows the end of what it printed, without the secret", async () => {
  await context({ "app/Dockerfile": "FROM scratch\nARG SECRET\nCOPY missing.txt /$SECRET\n" });
  await project.program(program(`${docker.registry}/broken:1`));
  const outcome = await project.tryUp();
  expect(outcome.code).not.toBe(0);
  expect(outcome.text).toContain("missing.txt");
  expect(outcome.text).not.toContain(argument);
}, 120_000);

test("what cannot be built is refused in the preview", async () => {
  const wrong = program("app:1").replace("context/app/Dockerfile", "context/nothing");
  await project.program(wrong);
  const outcome = await project.run("preview");
  expect(outcome.code).not.toBe(0);
  expect(outcome.text).toContain("cannot read context/nothing");
  expect(outcome.text).toContain('"app:1" must start with its registry');
}, 120_000);
