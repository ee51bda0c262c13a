import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { corednsImage, pauseImage } from "./configs.ts";
import { ociArchive } from "./ociImage.ts";
import type { ClusterTools } from "./options.ts";

/** Makes the archives of the images that the node itself needs, once a build of their program; gives file names. */
export async function ensureImages(
  tools: ClusterTools,
  folder: string,
): Promise<Map<string, string>> {
  await mkdir(folder, { recursive: true });
  const archives = new Map<string, string>();
  for (const [name, path, program, user] of [
    [pauseImage, "/pause", tools.pause, "65535:65535"],
    [corednsImage, "/coredns", tools.coredns, "0:0"],
  ] as const) {
    const executable = await readFile(program);
    const key = createHash("sha256").update(name).update(user).update(executable).digest("hex");
    const file = `${path.slice(1)}-${key.slice(0, 12)}.tar`;
    if (!existsSync(join(folder, file))) {
      const { archive } = ociArchive({ name, path, executable, user });
      await writeFile(join(folder, `${file}.partial`), archive);
      await rename(join(folder, `${file}.partial`), join(folder, file));
    }
    archives.set(name, file);
  }
  return archives;
}
