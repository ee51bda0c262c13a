import { PulumiProject } from "../engine/support/pulumiProject";

test("a plan says that it is only a plan, and nothing can be created by it", async () => {
  const project = await PulumiProject.create();
  try {
    await project.program(`
      import * as gcp from "@pulumi/gcp";
      export const url = new gcp.storage.Bucket("models", { location: "EU", project: "p" }).url;
    `);
    expect(await project.planned()).toEqual({ create: 2 });
    const preview = await project.succeed("preview");
    expect(preview.text).toContain("a plan that Google Cloud has not seen or checked");
    const up = await project.tryUp();
    expect(up.code).not.toBe(0);
    expect(up.text).toContain("the gcp stand-in only plans and cannot create models");
  } finally {
    await project.remove();
  }
}, 120_000);
