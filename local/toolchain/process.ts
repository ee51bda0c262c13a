import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

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

/** Remembers a process that was just started. */
export function remember(file: string, pid: number, more: Record<string, unknown> = {}): void {
  const startTime = startTimeOf(pid);
  if (startTime === undefined) throw new Error(`process ${pid} ended at once`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify({ pid, startTime, ...more }));
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
