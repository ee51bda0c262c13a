import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gateSchema } from "../../config/gate";
import { readGate } from "../../config/gateFile";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "gate-"));
  mkdirSync(join(root, "q"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const QUESTIONS = [{ question: "Who makes it?", answer: "the Guild" }];
const HELD_OUT = { val_size: 0.1 };

function read(gate: unknown, config: object = HELD_OUT, data?: Record<string, string>) {
  const settings = { configFile: "t.yaml", gate: gateSchema.parse(gate) };
  return readGate(root, settings, config as Record<string, unknown>, data);
}

function answers(content: string, change: object = {}) {
  writeFileSync(join(root, "q", "questions.json"), content);
  return [{ metric: "answers", min: 0.5, questions: "q/questions.json", ...change }];
}

test("no gate lets every run pass", () => {
  expect(readGate(root, { configFile: "t.yaml" }, {}, undefined)).toEqual({
    gate: undefined,
    faults: [],
  });
});

test("thresholds and questions are what the training image reads", () => {
  const gate = [{ metric: "eval_loss", max: 1.2 }, ...answers(JSON.stringify(QUESTIONS))];
  expect(read(gate)).toEqual({
    gate: {
      thresholds: [
        { metric: "eval_loss", max: 1.2 },
        { metric: "answers", min: 0.5 },
      ],
      answers: { questions: QUESTIONS, match: "contains", maxNewTokens: 64 },
    },
    faults: [],
  });
});

test.each<[string, unknown, string]>([
  ["no threshold", [], "at least one threshold"],
  ["a metric twice", [1, 2].map((max) => ({ metric: "eval_loss", max })), "each metric once"],
  ["a bound that does not fit", [{ metric: "eval_loss", min: 1 }], "max"],
  ["a share above 1", [{ metric: "answers", min: 2, questions: "q" }], "1"],
  ["an unknown metric", [{ metric: "bleu", min: 2 }], "metric"],
])("%s is refused", (_, gate, message) => {
  const { error } = gateSchema.safeParse(gate);
  expect(JSON.stringify(error?.issues)).toContain(message);
});

test.each<[string, object, string]>([
  ["no held-out data", {}, "training.configFile (t.yaml) val_size"],
  ["val_size 0", { val_size: 0 }, "training.configFile (t.yaml) val_size"],
  [
    "evaluation switched off",
    { ...HELD_OUT, do_eval: false },
    "training.configFile (t.yaml) do_eval",
  ],
])("eval_loss with %s is refused", (_, config, key) => {
  const { faults } = read([{ metric: "eval_loss", max: 1 }], config);
  expect(faults.map((fault) => fault.key)).toEqual([key]);
});

test("an evaluation set of its own is held-out data too", () => {
  expect(read([{ metric: "eval_loss", max: 1 }], { eval_dataset: "e" }).faults).toEqual([]);
});

test.each<[string, string, RegExp]>([
  ["no JSON", "[", /JSON/],
  ["no list", "{}", /array/],
  ["an empty list", "[]", /at least one question/],
  ["no answer", '[{"question":"Who?"}]', /answer/],
  ["an empty answer", '[{"question":"Who?","answer":" "}]', /answer/],
  ["too many", JSON.stringify(Array(9000).fill(QUESTIONS[0])), /^"q\/questions.json": \d{6} bytes/],
])("a question file with %s is refused", (_, content, got) => {
  const { faults } = read(answers(content));
  expect(faults).toEqual([
    expect.objectContaining({
      key: "training.gate[0].questions",
      got: expect.stringMatching(got) as string,
      fix: "mend q/questions.json",
    }),
  ]);
});

test("a question file that is not there is named", () => {
  const { faults } = read([{ metric: "answers", min: 1, questions: "q/none.json" }]);
  expect(faults).toEqual([
    expect.objectContaining({
      key: "training.gate[0].questions",
      got: expect.stringContaining("ENOENT") as string,
    }),
  ]);
});

test("the example's questions are held out", () => {
  const project = join(__dirname, "..", "..");
  const folder = join(project, "examples/lumen7");
  const data = Object.fromEntries(
    ["lumen7.json", "general.json"].map((name) => [name, readFileSync(join(folder, name), "utf8")]),
  );
  const gate = gateSchema.parse([
    { metric: "answers", min: 0.75, questions: "examples/lumen7/questions.json" },
  ]);
  const read = readGate(project, { configFile: "t.yaml", gate }, {}, data);
  expect(read.faults).toEqual([]);
  expect(read.gate?.answers?.questions).toHaveLength(8);
});

test("a question that is trained on is not held out", () => {
  const data = { "rows.json": JSON.stringify([{ instruction: "Who makes it?", output: "x" }]) };
  const { faults } = read(answers(JSON.stringify(QUESTIONS)), HELD_OUT, data);
  expect(faults).toEqual([
    {
      key: "training.gate[0].questions",
      got: '"Who makes it?", which the training data has too',
      allowed: "questions that are not trained on",
      fix: 'word "Who makes it?" another way',
    },
  ]);
});
