import { join } from "node:path";

import { replaceFile } from "../files.ts";
import { ensureDebs } from "./debs.ts";

/** A browser without a window, and what its process needs to find its libraries and fonts. */
export interface Browser {
  readonly executable: string;
  readonly env: Readonly<Record<"LD_LIBRARY_PATH" | "FONTCONFIG_FILE", string>>;
}

const PACKAGES = ["chromium-headless-shell", "fonts-dejavu-core", "fonts-noto-color-emoji"];

/**
 * Debian's Chromium, unpacked into the cache. It sees the fonts beside it and no others, so that pages look the same
 * on every machine. @throws {CommandError} where a package cannot be had.
 */
export async function ensureBrowser(logs: string): Promise<Browser> {
  const { root, libraryPath } = await ensureDebs(PACKAGES, { logs });
  const fonts = join(root, "fonts.conf");
  replaceFile(
    fonts,
    `<?xml version="1.0"?><fontconfig><dir>${join(root, "usr", "share", "fonts")}</dir></fontconfig>\n`,
  );
  // PulseAudio's library has one of its own in a folder that it knows by an absolute path.
  const pulse = join(root, "usr", "lib", "x86_64-linux-gnu", "pulseaudio");
  return {
    executable: join(root, "usr", "lib", "chromium", "chromium-headless-shell"),
    env: { LD_LIBRARY_PATH: [...libraryPath, pulse].join(":"), FONTCONFIG_FILE: fonts },
  };
}
