import type { Fault } from "./faults";
import { setCommand } from "./faults";
import type { Settings } from "./schema";
import type { TrainingConfig } from "./trainingFile";
import { trainsAdapter } from "./trainingFile";

/** Values that vLLM takes as its longest rank, and those that both sides have where none is set. */
const RANKS = [1, 8, 16, 32, 64, 128, 256, 320, 512];
const DEFAULT_MAX_RANK = 16;
const DEFAULT_TRAINED_RANK = 8;

/** The faults of one model that has the training run among its adapters. */
function adapterFaults(
  key: string,
  { options, adapters }: Settings["models"][number],
  config: TrainingConfig,
  configFile: string,
): Fault[] {
  const at = adapters.findIndex(({ source }) => source.kind === "training");
  if (at === -1) return [];
  if (!trainsAdapter(config)) {
    return [
      {
        key: `${key}.adapters[${String(at)}].source.kind`,
        got: `"training", with finetuning_type ${String(config["finetuning_type"])}`,
        allowed: "a run that trains an adapter",
        fix: `write "finetuning_type: lora" in ${configFile}`,
      },
    ];
  }
  const rank = Number(config["lora_rank"] ?? DEFAULT_TRAINED_RANK);
  const longest = Number(options["max-lora-rank"] ?? DEFAULT_MAX_RANK);
  if (rank <= longest) return [];
  const path = `${key}.options.max-lora-rank`;
  return [
    {
      key: path,
      got: `${String(longest)}, with lora_rank ${String(rank)} in ${configFile}`,
      allowed: "at least the rank of each adapter",
      fix: setCommand(path, String(RANKS.find((each) => each >= rank) ?? rank)),
    },
  ];
}

/** Faults that only the training file shows: whether what a run ends with can be served as asked. */
export function servedRunFaults(settings: Settings, config: TrainingConfig): Fault[] {
  const { models, training } = settings;
  if (training === undefined) return [];
  const asModel = models.some(({ source }) => source.kind === "training");
  const asAdapter = models.some(({ adapters }) =>
    adapters.some(({ source }) => source.kind === "training"),
  );
  const key = "training.merge";
  const faults = models.flatMap((model, index) =>
    adapterFaults(`models[${String(index)}]`, model, config, training.configFile),
  );
  if (asModel && !training.merge && trainsAdapter(config)) {
    faults.push({
      key,
      got: "false, with a model that serves the training run",
      allowed:
        "true: a model is served merged; or name the run under the adapters of its base model",
      fix: setCommand(key, "true"),
    });
  }
  if (asAdapter && training.merge && trainsAdapter(config)) {
    faults.push({
      key,
      got: "true, with an adapter that is the training run",
      allowed: "false: a run is served either merged or as an adapter",
      fix: setCommand(key, "false"),
    });
  }
  return faults;
}
