const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** One suite of a Debian mirror. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** Keyring file on this machine. */
  readonly signedBy: string;
}

/**
 * The suites of one Debian release in apt's source files, of both formats: the release itself, its updates and its
 * security fixes. Sources of anything else (a vendor's packages) are left out.
 */
export function parseSources(files: readonly string[], release: string): AptSource[] {
  const wanted = new Set([release, `${release}-updates`, `${release}-security`]);
  const found = files.flatMap((text) =>
    /^Types:/m.test(text)
      ? text.split(/\n\s*\n/).flatMap(parseStanza)
      : text.split("\n").flatMap(parseLine),
  );
  const chosen = new Map<string, AptSource>();
  for (const source of found) {
    if (wanted.has(source.suite) && !chosen.has(source.suite)) chosen.set(source.suite, source);
  }
  return [...chosen.values()];
}

/** Apt's one-line format. */
export function renderSources(sources: readonly AptSource[]): string {
  return sources
    .map(({ uri, suite, components }) => `deb ${uri} ${suite} ${components.join(" ")}\n`)
    .join("");
}

function parseStanza(stanza: string): AptSource[] {
  const fields = new Map<string, string>();
  for (const [, key, value] of stanza.matchAll(/^([A-Za-z-]+):[ \t]*(.*)$/gm)) {
    if (key !== undefined && value !== undefined) fields.set(key.toLowerCase(), value.trim());
  }
  const words = (key: string): string[] => fields.get(key)?.split(/\s+/).filter(Boolean) ?? [];
  if (!words("types").includes("deb") || fields.get("enabled") === "no") return [];
  const signedBy = fields.get("signed-by") ?? KEYRING;
  return words("uris").flatMap((uri) =>
    words("suites").map((suite) => ({ uri, suite, components: words("components"), signedBy })),
  );
}

function parseLine(line: string): AptSource[] {
  const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)$/.exec(line.trim());
  const [, options, uri, suite, components] = match ?? [];
  if (uri === undefined || suite === undefined || components === undefined) return [];
  const signedBy = /signed-by=(\S+)/.exec(options ?? "")?.[1] ?? KEYRING;
  return [{ uri, suite, components: components.split(/\s+/).filter(Boolean), signedBy }];
}
