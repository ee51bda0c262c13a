import { servedRunFaults } from "../../config/servedRun";
import { settingsOf, trainingTree } from "../support/settings";

const volume = { kind: "volume", path: "base/model" };
const asModel = { name: "tuned", source: { kind: "training" } };
const asAdapter = (options: object = {}) => ({
  name: "base",
  source: volume,
  options,
  adapters: [{ name: "tuned", source: { kind: "training" } }],
});

function faults(merge: boolean, models: object[], config: object = { finetuning_type: "lora" }) {
  const tree = trainingTree();
  const training = { ...(tree["training"] as object), merge };
  return servedRunFaults(settingsOf({ ...tree, training, models }), { ...config });
}

test("a run is served merged, or as an adapter", () => {
  expect(faults(true, [asModel])).toEqual([]);
  expect(faults(false, [asAdapter()])).toEqual([]);
  expect(faults(false, [asModel], { finetuning_type: "full" })).toEqual([]);
});

test("a bare adapter is no model, and a merged model no adapter", () => {
  expect(faults(false, [asModel])).toEqual([
    expect.objectContaining({
      key: "training.merge",
      fix: "pulumi config set --path 'llmops:training.merge' 'true'",
    }),
  ]);
  expect(faults(true, [asAdapter()])).toEqual([
    {
      key: "training.merge",
      got: "true, with an adapter that is the training run",
      allowed: "false: a run is served either merged or as an adapter",
      fix: "pulumi config set --path 'llmops:training.merge' 'false'",
    },
  ]);
});

test("a fully trained model is no adapter", () => {
  expect(faults(false, [asAdapter()], { finetuning_type: "full" })).toEqual([
    {
      key: "models[0].adapters[0].source.kind",
      got: '"training", with finetuning_type full',
      allowed: "a run that trains an adapter",
      fix: 'write "finetuning_type: lora" in examples/lumen7/lora.yaml',
    },
  ]);
});

test.each<[number | undefined, object, string | undefined]>([
  [undefined, {}, undefined],
  [16, {}, undefined],
  [24, {}, "32"],
  [64, { "max-lora-rank": 32 }, "64"],
  [64, { "max-lora-rank": 64 }, undefined],
])("rank %p with options %j", (rank, options, mend) => {
  const config = { finetuning_type: "lora", ...(rank === undefined ? {} : { lora_rank: rank }) };
  expect(faults(false, [asAdapter(options)], config)).toEqual(
    mend === undefined
      ? []
      : [
          expect.objectContaining({
            key: "models[0].options.max-lora-rank",
            fix: `pulumi config set --path 'llmops:models[0].options.max-lora-rank' '${mend}'`,
          }),
        ],
  );
});
