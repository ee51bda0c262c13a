import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { releaseSlot, takeSlot } from "../../../local/toolchain/slots";

describe("image stores", () => {
  let folder: string;
  let before: string | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "llmops-slots-"));
    before = process.env["XDG_CACHE_HOME"];
    process.env["XDG_CACHE_HOME"] = folder;
  });
  afterEach(() => {
    for (const name of ["one.json", "two.json"]) releaseSlot(join(folder, name));
    if (before === undefined) delete process.env["XDG_CACHE_HOME"];
    else process.env["XDG_CACHE_HOME"] = before;
    rmSync(folder, { recursive: true });
  });

  test("a platform keeps its own, and another one gets the next", async () => {
    const one = await takeSlot(join(folder, "one.json"));
    expect(one).toBe(join(folder, "llmops", "slots", "1"));
    await expect(takeSlot(join(folder, "one.json"))).resolves.toBe(one);
    await expect(takeSlot(join(folder, "two.json"))).resolves.toBe(
      join(folder, "llmops", "slots", "2"),
    );
  });

  test("a released one is the first to be taken again", async () => {
    const one = await takeSlot(join(folder, "one.json"));
    releaseSlot(join(folder, "one.json"));
    await expect(takeSlot(join(folder, "two.json"))).resolves.toBe(one);
  });
});
