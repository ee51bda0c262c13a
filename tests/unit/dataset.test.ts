import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readDataset } from "../../config/dataset";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "dataset-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const ROW = { instruction: "a", input: "", output: "b" };

function read(file: string, content: string, entry: object = {}) {
  writeFileSync(join(root, file), content);
  const info = { facts: { file_name: file, ...entry } };
  writeFileSync(join(root, "dataset_info.json"), JSON.stringify(info));
  return readDataset(root, ".", { dataset: "facts" });
}

test.each<[string, string, object]>([
  ["rows.json", JSON.stringify([ROW]), {}],
  ["rows.json", `${JSON.stringify(ROW)}\n${JSON.stringify(ROW)}\n`, {}],
  ["rows.jsonl", `${JSON.stringify(ROW)}\n\n`, {}],
  ["rows.json", JSON.stringify([{ instruction: "a", output: "b" }, ROW]), {}],
  ["rows.csv", 'instruction,input,"output"\r\na,,b\n', {}],
  ["rows.csv", "q,a\nx,y\n", { columns: { prompt: "q", response: "a" } }],
  ["rows.txt", "some text\n", { columns: { prompt: "text" } }],
  ["rows.json", '[{"conversations": []}]', { formatting: "sharegpt" }],
  ["rows.json", '[{"instruction":"a","input":"","good":"b"}]', { ranking: true }],
])("%s with %j is data to train on", (file, content, entry) => {
  const { faults, files } = read(file, content, entry);
  expect(faults).toEqual([]);
  expect(files[file]).toBe(content);
});

test.each<[string, string, string, object, string]>([
  ["no rows", "rows.json", "[]", {}, "no rows"],
  ["no rows", "rows.jsonl", "\n", {}, "no rows"],
  ["a header alone", "rows.csv", "instruction,input,output\n", {}, "no rows"],
  ["rows that are no objects", "rows.json", "[1]", {}, "row 1 is no object"],
  ["a broken line", "rows.jsonl", '{}\n{"a"\n', {}, "line 2: "],
  ["a broken list", "rows.json", "[{]", {}, "JSON"],
  ["another format", "rows.parquet", "PAR1", {}, "a file of another format"],
  [
    "other columns",
    "rows.json",
    '[{"q": "a", "a": "b"}]',
    {},
    "no row has instruction, input, output; the columns are q, a",
  ],
  [
    "a column that dataset_info.json names",
    "rows.csv",
    "q,a\nx,y\n",
    { columns: { prompt: "question", response: "a" } },
    "no row has question; the columns are q, a",
  ],
  [
    "no conversations",
    "rows.json",
    JSON.stringify([ROW]),
    { formatting: "sharegpt" },
    "conversations",
  ],
])("%s is refused: %s", (_, file, content, entry, got) => {
  const { faults } = read(file, content, entry);
  expect(faults).toEqual([
    expect.objectContaining({
      key: "training.data.path",
      got: expect.stringContaining(got) as string,
      fix: `mend ./${file} or ./dataset_info.json`,
    }),
  ]);
});
