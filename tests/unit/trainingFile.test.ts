import { parseTrainingFile, trainsAdapter } from "../../config/trainingFile";

const GOOD = "stage: sft\ndo_train: true\ndataset: facts\nfinetuning_type: lora\n";
const faults = (text: string) => parseTrainingFile("t.yaml", text).faults;

test("a good file has no fault and keeps its values", () => {
  expect(parseTrainingFile("t.yaml", `${GOOD}learning_rate: 1.0e-3\n`)).toEqual({
    config: {
      stage: "sft",
      do_train: true,
      dataset: "facts",
      finetuning_type: "lora",
      learning_rate: 0.001,
    },
    faults: [],
  });
});

test("unreadable YAML is named with its line", () => {
  expect(faults("stage: sft\n  bad: [1\n")).toEqual([
    expect.objectContaining({ key: "training.configFile", allowed: "a YAML file" }),
  ]);
  expect(faults("stage: sft\ndo_train: [true\n")[0]?.fix).toMatch(/^mend line [23] of t\.yaml$/);
});

test.each([
  ["", "t.yaml: an empty file"],
  ["- a\n", "t.yaml: no map"],
  ["text\n", "t.yaml: no map"],
])("a file that is no map: %j", (text, got) => {
  expect(faults(text)).toEqual([expect.objectContaining({ key: "training.configFile", got })]);
});

test("a key that LLaMA-Factory does not have, with the nearest one", () => {
  expect(faults(`${GOOD}learning_rat: 1\n`)).toEqual([
    {
      key: "training.configFile (t.yaml:5) learning_rat",
      got: "1",
      allowed: "a training key of LLaMA-Factory 0.9.5",
      fix: 'write "learning_rate" in line 5 of t.yaml',
    },
  ]);
  expect(faults(`${GOOD}entirely_unheard_of: 1\n`)[0]?.fix).toBe("remove line 5 of t.yaml");
});

test.each(["model_name_or_path", "dataset_dir", "export_dir", "run_name"])(
  "%s belongs to the platform",
  (key) => {
    expect(faults(`${GOOD}${key}: x\n`)).toEqual([
      expect.objectContaining({
        key: `training.configFile (t.yaml:5) ${key}`,
        fix: "remove line 5 of t.yaml",
      }),
    ]);
  },
);

test.each(["/tmp/x", "/app/outputs", "out", "/app/output/../x"])(
  "an output folder outside of the volume: %s",
  (output) => {
    expect(faults(`${GOOD}output_dir: ${output}\n`)).toEqual([
      {
        key: "training.configFile (t.yaml) output_dir",
        got: JSON.stringify(output),
        allowed: "a folder in /app/output, where model-output-pvc is mounted",
        fix: 'write "output_dir: /app/output" in t.yaml',
      },
    ]);
  },
);

test("an output folder on the volume is fine", () => {
  expect(faults(`${GOOD}output_dir: /app/output/team\n`)).toEqual([]);
});

test("trackers are chosen in the stack", () => {
  expect(faults(`${GOOD}report_to: mlflow\n`)).toEqual([
    expect.objectContaining({ fix: 'write "report_to: none" in t.yaml' }),
  ]);
  expect(faults(`${GOOD}report_to: none\n`)).toEqual([]);
});

test("what a run cannot do without", () => {
  expect(faults("learning_rate: 1\n").map(({ key }) => key)).toEqual([
    "training.configFile (t.yaml) do_train",
    "training.configFile (t.yaml) stage",
    "training.configFile (t.yaml) dataset",
  ]);
});

test("adapters are merged, whole models are not", () => {
  expect(
    ["lora", "oft", undefined].map((type) => trainsAdapter({ finetuning_type: type })),
  ).toEqual([true, true, true]);
  expect(["full", "freeze"].map((type) => trainsAdapter({ finetuning_type: type }))).toEqual([
    false,
    false,
  ]);
});
