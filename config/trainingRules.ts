import type { Fault } from "./faults";
import { setCommand } from "./faults";
import type { Settings } from "./schema";

type Rule = (settings: Settings) => readonly Fault[];

/** A new pod waits for the run, so the old one has to go on serving beside it. */
const unawaitedRuns: Rule = ({ training, models }) =>
  training === undefined || training.await
    ? []
    : models.flatMap(({ source, surge }, index) => {
        if (source.kind !== "training" || source.run !== undefined || surge) return [];
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

const RULES: readonly Rule[] = [unawaitedRuns];

/** Faults of training that only several settings together show. */
export function trainingFaults(settings: Settings): Fault[] {
  return RULES.flatMap((rule) => rule(settings));
}
