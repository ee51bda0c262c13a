import type { Fault } from "./faults";
import { setCommand } from "./faults";
import type { Settings } from "./schema";
import { downloads } from "./training";
import type { TrainingConfig } from "./trainingFile";

type Rule = (settings: Settings) => readonly Fault[];

/** A new pod waits for the run, so the old one has to go on serving beside it. */
const unawaitedRuns: Rule = ({ training, models }) =>
  training === undefined || training.await
    ? []
    : models.flatMap(({ source, adapters, surge }, index) => {
        const waits = [source, ...adapters.map((adapter) => adapter.source)].some(
          (each) => each.kind === "training" && each.run === undefined,
        );
        if (!waits || surge) return [];
        const key = `models[${String(index)}].surge`;
        return [
          {
            key,
            got: "false, with training.await false",
            allowed: "true: nothing would be served while the new pod waits for the run",
            fix: setCommand(key, "true"),
          },
        ];
      });

/** Pulumi can wait for a condition of an object of Kubeflow's, and cannot tell that it will not come. */
const awaitedTrainJobs: Rule = ({ training }) =>
  training?.runner !== "trainjob" || !training.await
    ? []
    : [
        {
          key: "training.await",
          got: 'true, with training.runner "trainjob"',
          allowed: "false: Pulumi would not see that a TrainJob has failed",
          fix: setCommand("training.await", "false"),
        },
      ];

/** All pods of a run write one folder, and read the same data and the same base model. */
const sharedByNodes: Rule = ({ training, storage }) => {
  if (training === undefined || training.nodes === 1) return [];
  const used = [
    "modelOutput" as const,
    ...(training.data.kind === "volume" ? ["trainingData" as const] : []),
    ...(downloads(training) ? ["hubCache" as const] : []),
  ];
  return used.flatMap((name) => {
    const claim = storage[name];
    if (claim?.accessMode !== "ReadWriteOnce" || claim.volume.kind === "hostPath") return [];
    const key = `storage.${name}.accessMode`;
    return [
      {
        key,
        got: `"ReadWriteOnce", with training.nodes ${String(training.nodes)}`,
        allowed: "ReadWriteMany: the pods of all nodes mount it",
        fix: setCommand(key, "ReadWriteMany"),
      },
    ];
  });
};

const deepspeedOnCpu: Rule = ({ training, images }) =>
  training === undefined || training.deepspeed === "none" || images.accelerator === "cuda"
    ? []
    : [
        {
          key: "training.deepspeed",
          got: `"${training.deepspeed}" with images.accelerator cpu`,
          allowed: "none: the CPU image does not have DeepSpeed",
          fix: setCommand("training.deepspeed", "none"),
        },
      ];

const RULES: readonly Rule[] = [unawaitedRuns, awaitedTrainJobs, sharedByNodes, deepspeedOnCpu];

/** Faults of training that only several settings together, or they and the training file, show. */
export function trainingFaults(settings: Settings, config: TrainingConfig = {}): Fault[] {
  const { training } = settings;
  const twice =
    training !== undefined && training.deepspeed !== "none" && config["deepspeed"] !== undefined;
  return [
    ...RULES.flatMap((rule) => rule(settings)),
    ...(twice
      ? [
          {
            key: `training.configFile (${training.configFile}) deepspeed`,
            got: `a value, beside training.deepspeed ${training.deepspeed}`,
            allowed: "one of the two",
            fix: `remove deepspeed from ${training.configFile}`,
          },
        ]
      : []),
  ];
}
