import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { releaseSlot, slotIsWarm, takeSlot } from "../../../local/toolchain/slots";

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

  test("hold images or not: its own for a platform that has some, else those that it would get", async () => {
    const [one, two] = [join(folder, "one.json"), join(folder, "two.json")];
    await expect(slotIsWarm(one)).resolves.toBe(false);
    mkdirSync(join(await takeSlot(one), "docker"));
    await expect(slotIsWarm(one)).resolves.toBe(true);
    await expect(slotIsWarm(two)).resolves.toBe(false);
    releaseSlot(one);
    await expect(slotIsWarm(two)).resolves.toBe(true);
  });

  test("are not taken where nobody could tell later who has them", async () => {
    const nowhere = join(folder, "file", "one.json");
    writeFileSync(join(folder, "file"), "");
    await expect(takeSlot(nowhere)).rejects.toThrow(/EEXIST/);
    await expect(takeSlot("/proc/one.json")).rejects.toThrow("note it in /proc/one.json");
    await expect(takeSlot(join(folder, "two.json"))).resolves.toBe(
      join(folder, "llmops", "slots", "1"),
    );
  });
});
