import { join } from "node:path";

/** The environment in which Debian's unpacked programs find each other and their libraries. */
export function debianEnvironment(
  debsRoot: string,
  base: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv {
  const folders = ["usr/sbin", "usr/bin", "sbin", "bin"].map((folder) => join(debsRoot, folder));
  const libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
  const own = libraries.map((folder) => join(debsRoot, folder));
  return {
    ...base,
    PATH: [...folders, base["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"].join(":"),
    LD_LIBRARY_PATH: [...own, ...(base["LD_LIBRARY_PATH"]?.split(":") ?? [])].join(":"),
  };
}
