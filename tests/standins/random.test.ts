import { PulumiProject } from "../engine/support/pulumiProject";

const program = (length: number) => `
import * as random from "@pulumi/random";
const password = new random.RandomPassword("password", { length: ${length}, minSpecial: 2 });
const text = new random.RandomString("text", { length: 8, special: false, upper: false });
const bytes = new random.RandomId("bytes", { byteLength: 4, prefix: "p-" });
export const result = password.result;
export const letters = text.result;
export const hex = bytes.hex;
export const uuid = new random.RandomUuid("uuid").result;
`;

let project: PulumiProject;

beforeAll(async () => {
  project = await PulumiProject.create();
}, 120_000);

afterAll(() => project.remove());

test("values are made once, kept, secret where promised, and replaced when their rule changes", async () => {
  await project.program(program(20));
  expect(await project.planned()).toEqual({ create: 5 });
  const first = await project.up();
  const made = await project.outputs();
  expect(made).toEqual({
    result: expect.stringMatching(/^.{20}$/) as string,
    letters: expect.stringMatching(/^[a-z0-9]{8}$/) as string,
    hex: expect.stringMatching(/^p-[0-9a-f]{8}$/) as string,
    uuid: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
  });
  const password = String(made["result"]);
  expect(password.replace(/[A-Za-z0-9]/g, "").length).toBeGreaterThanOrEqual(2);
  expect(await project.state()).not.toContain(JSON.stringify(password).slice(1, -1));
  expect(first.text).not.toContain(password);

  expect(await project.planned()).toEqual({ same: 5 });
  await project.up();
  expect(await project.outputs()).toEqual(made);

  await project.program(program(24));
  const plan = await project.plan();
  expect(plan.filter(({ op }) => op === "replace")).toEqual([
    { op: "replace", name: "password", replaceReasons: ["length"] },
  ]);
  await project.up();
  const changed = await project.outputs();
  expect(changed).toEqual({ ...made, result: expect.stringMatching(/^.{24}$/) as string });

  await project.succeed("destroy", "--yes", "--skip-preview");
}, 300_000);

test("what is not supported is named before anything is made", async () => {
  const other = await PulumiProject.create();
  try {
    await other.program(
      'import * as random from "@pulumi/random";\nnew random.RandomPet("pet");\n',
    );
    const outcome = await other.run("preview");
    expect(outcome.code).not.toBe(0);
    expect(outcome.text).toContain("the random stand-in has no random:index/randomPet:RandomPet");
  } finally {
    await other.remove();
  }
}, 120_000);
