import { existsSync, readFileSync, rmSync } from "node:fs";

/** A process that outlives the command which started it, told apart from a later one of the same id. */
export interface ProcessRecord {
  readonly pid: number;
  /** Start time in the kernel's clock ticks. */
  readonly startTime: string;
}

/** What the kernel says of a running process, or `undefined` where there is none (a zombie counts as none). */
export function runningProcess(
  pid: number,
): { readonly session: number; readonly startTime: string } | undefined {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z"
    ? undefined
    : { session: Number(fields[3]), startTime: fields[19] ?? "" };
}

/** Start time of a running process, or `undefined` where there is none. */
export function startTimeOf(pid: number): string | undefined {
  return runningProcess(pid)?.startTime;
}

/** $1 is the file, $2 what the record holds besides the process, the rest is the command. */
const RECORD = `
set -eu
file=$1 more=$2
shift 2
started=$(sed 's/.*) //' "/proc/$$/stat" | cut -d ' ' -f 20)
printf '{"pid":%s,"startTime":"%s"%s}' "$$" "$started" "$more" > "$file.partial"
mv "$file.partial" "$file"
exec "$@"
`;

/**
 * The command that writes down in `file` which process it is, and then becomes `command`: however its parent ends, it
 * is found again, and where the record cannot be written, nothing runs.
 */
export function recorded(
  file: string,
  command: readonly string[],
  more: Readonly<Record<string, string>> = {},
): string[] {
  const rest = Object.entries(more).map(
    ([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`,
  );
  return ["sh", "-c", RECORD, "sh", file, rest.join(""), ...command];
}

/** The remembered process, if that very one still runs. */
export function recall(file: string): (ProcessRecord & Record<string, unknown>) | undefined {
  if (!existsSync(file)) return undefined;
  const raw: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (typeof raw !== "object" || raw === null) return undefined;
  const record: Record<string, unknown> = { ...raw };
  const { pid, startTime } = record;
  if (typeof pid !== "number" || typeof startTime !== "string") return undefined;
  return startTimeOf(pid) === startTime ? { ...record, pid, startTime } : undefined;
}

/** Ends the remembered process and forgets it; one that is gone already is only forgotten. */
export function endRemembered(file: string): void {
  const record = recall(file);
  if (record !== undefined) process.kill(record.pid, "SIGKILL");
  rmSync(file, { force: true });
}
