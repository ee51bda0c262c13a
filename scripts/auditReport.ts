import { readFileSync } from "node:fs";

/** What a database said about a lock file. */
export interface Report {
  /** Known faults, one a line, the ones that fail the audit first. */
  readonly lines: readonly string[];
  readonly fails: boolean;
}

interface NpmAudit {
  readonly metadata?: object;
  readonly vulnerabilities?: Readonly<
    Record<string, { readonly name: string; readonly severity: string; readonly range: string }>
  >;
}

interface PipAudit {
  readonly dependencies?: readonly {
    readonly name: string;
    readonly version?: string;
    readonly skip_reason?: string;
    readonly vulns?: readonly { readonly id: string; readonly fix_versions: readonly string[] }[];
  }[];
}

/** Reads the JSON of `npm audit --json`. */
export function npmReport(file: string, json: string): Report {
  const { metadata, vulnerabilities = {} } = parsed<NpmAudit>(json);
  if (metadata === undefined) return unanswered(file, "any package");
  const found = Object.values(vulnerabilities);
  const lines = found.map(({ name, range, severity }) => `${file}: ${name} ${range}: ${severity}`);
  return { lines, fails: found.some(({ severity }) => /^(high|critical)$/.test(severity)) };
}

/** Reads the JSON of `pip-audit --format=json`. A package that PyPI does not know is skipped there, not an error. */
export function pipReport(file: string, json: string): Report {
  const { dependencies } = parsed<PipAudit>(json);
  if (dependencies === undefined) return unanswered(file, "any package");
  const lines = dependencies.flatMap(({ name, version = "", vulns = [] }) =>
    vulns.map(
      ({ id, fix_versions }) =>
        `${file}: ${name} ${version}: ${id}, mended in ${fix_versions.join(", ") || "no version"}`,
    ),
  );
  const skipped = dependencies.filter(({ skip_reason }) => skip_reason !== undefined);
  const gaps =
    skipped.length === 0
      ? []
      : unanswered(file, `${String(skipped.length)} of ${String(dependencies.length)} packages`)
          .lines;
  return { lines: [...lines, ...gaps], fails: lines.length > 0 };
}

function unanswered(file: string, what: string): Report {
  return { lines: [`warning: ${file}: no answer about ${what}`], fails: false };
}

function parsed<T extends object>(json: string): Partial<T> {
  try {
    return JSON.parse(json) as T;
  } catch (error) {
    // A tool that could not reach its database printed no JSON.
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

if (require.main === module) {
  const [, , tool, file = "", found = ""] = process.argv;
  const { lines, fails } = (tool === "npm" ? npmReport : pipReport)(
    file,
    readFileSync(found, "utf8"),
  );
  for (const line of lines) console.log(line);
  process.exitCode = fails ? 1 : 0;
}
