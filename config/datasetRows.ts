import { z } from "zod";

/** What dataset_info.json says of a data set, as far as its rows go. */
export const datasetEntry = z.looseObject({
  file_name: z.string().optional(),
  formatting: z.string().optional(),
  ranking: z.boolean().optional(),
  columns: z.record(z.string(), z.string()).optional(),
});

type DatasetEntry = z.infer<typeof datasetEntry>;

/** Columns that LLaMA-Factory looks for where dataset_info.json names none. */
const DEFAULT_COLUMNS = { prompt: "instruction", query: "input", response: "output" } as const;

const record = z.record(z.string(), z.unknown());

/** The columns of a file and the number of its rows, or what is wrong with it. */
type Rows = { readonly columns: ReadonlySet<string>; readonly count: number } | string;

function rowsOf(values: readonly unknown[]): Rows {
  const columns = new Set<string>();
  for (const [index, value] of values.entries()) {
    const row = record.safeParse(value);
    if (!row.success) return `row ${String(index + 1)} is no object`;
    for (const name of Object.keys(row.data)) columns.add(name);
  }
  return { columns, count: values.length };
}

function readLines(text: string): Rows {
  const values: unknown[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    try {
      values.push(JSON.parse(line));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return `line ${String(index + 1)}: ${reason}`;
    }
  }
  return rowsOf(values);
}

function readJson(text: string): Rows {
  // LLaMA-Factory reads a list and one object a line alike, whatever the file is called.
  if (!text.trimStart().startsWith("[")) return readLines(text);
  try {
    const value: unknown = JSON.parse(text);
    return rowsOf(Array.isArray(value) ? value : []);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function readCsv(text: string): Rows {
  const [header = "", ...lines] = text.split("\n").filter((line) => line.trim() !== "");
  const names = header.match(/"(?:[^"]|"")*"|[^,\r]+/g) ?? [];
  const columns = new Set(names.map((name) => name.replace(/^"|"$/g, "").replaceAll('""', '"')));
  return { columns, count: lines.length };
}

const READERS: Readonly<Record<string, (text: string) => Rows>> = {
  json: readJson,
  jsonl: readJson,
  csv: readCsv,
  txt: (text) => ({
    columns: new Set(["text"]),
    count: text.split("\n").filter((line) => line.trim() !== "").length,
  }),
};

/** The columns that LLaMA-Factory reads of every row; it fails where no row has one of them. */
function neededColumns({
  formatting = "alpaca",
  ranking = false,
  columns,
}: DatasetEntry): string[] {
  if (columns !== undefined) return Object.values(columns);
  if (formatting !== "alpaca") return ["conversations"];
  const { prompt, query, response } = DEFAULT_COLUMNS;
  return ranking ? [prompt, query] : [prompt, query, response];
}

/** What is wrong with the rows of a data set in a file of the project; undefined if nothing is. */
export function rowProblem(
  file: string,
  entry: DatasetEntry,
  text: string,
): { readonly got: string; readonly allowed: string } | undefined {
  const reader = READERS[file.slice(file.lastIndexOf(".") + 1)];
  if (reader === undefined) {
    return {
      got: "a file of another format",
      allowed: `${Object.keys(READERS).join(", ")}; parquet and arrow belong on training-data-pvc`,
    };
  }
  const rows = reader(text);
  if (typeof rows === "string") return { got: rows, allowed: "rows that can be read" };
  if (rows.count === 0) return { got: "no rows", allowed: "at least one row" };
  const missing = neededColumns(entry).filter((name) => !rows.columns.has(name));
  return missing.length === 0
    ? undefined
    : {
        got: `no row has ${missing.join(", ")}; the columns are ${[...rows.columns].join(", ")}`,
        allowed: "the columns that dataset_info.json names, or LLaMA-Factory's default ones",
      };
}
