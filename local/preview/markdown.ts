import { facts } from "./costs.ts";
import { componentOf, kindOf, nameOf, propertyChanges } from "./steps.ts";
import type { PropertyChange, Step } from "./steps.ts";

const MOST_PROPERTIES = 6;

/** Operations in the order in which a reviewer must see them. */
const OPERATIONS = ["replace", "delete", "update", "create"];

/** The comment for a pull request: what costs more or serves another model first, then what is replaced. */
export function previewMarkdown(stack: string, steps: readonly Step[]): string {
  const changes = steps.filter((step) => OPERATIONS.includes(step.op) && !isStructure(step));
  if (changes.length === 0) return `### \`${stack}\`: no change\n`;
  const counts = OPERATIONS.flatMap((op) => {
    const count = changes.filter((step) => step.op === op).length;
    return count === 0 ? [] : [`${String(count)} to ${op}`];
  });
  return [
    `### \`${stack}\`: ${counts.join(", ")}`,
    ...headlines(steps),
    "",
    ...components(changes, steps),
    "",
  ].join("\n");
}

/** Components, providers and the stack say how resources are put together; what they hold is what changes. */
function isStructure({ oldState, newState }: Step): boolean {
  return /^(pulumi|llmops):/.test(newState?.type ?? oldState?.type ?? "");
}

/** What reviewers must not miss: GPUs, models, replicas, sizes and machines that change. */
function headlines(steps: readonly Step[]): string[] {
  const [before, after] = [facts(steps, "oldState"), facts(steps, "newState")];
  const subjects = [...new Set([...after.keys(), ...before.keys()])];
  const rank = (subject: string): number =>
    ["GPUs at most", "Model of", "GPUs of"].findIndex((start) => subject.startsWith(start)) + 1 ||
    9;
  return subjects
    .filter((subject) => before.get(subject) !== after.get(subject))
    .sort((a, b) => rank(a) - rank(b))
    .map((subject) => {
      const [old, now] = [before.get(subject), after.get(subject)];
      return `- **${subject}: ${old ?? "none"} → ${now ?? "none"}**`;
    });
}

function components(changes: readonly Step[], steps: readonly Step[]): string[] {
  const byUrn = new Map(steps.map((step) => [step.urn, step]));
  const groups = new Map<string, Step[]>();
  for (const step of changes) {
    const name = componentOf(step, byUrn);
    groups.set(name, [...(groups.get(name) ?? []), step]);
  }
  const order = (group: readonly Step[]): number =>
    Math.min(...group.map(({ op }) => OPERATIONS.indexOf(op)));
  return [...groups]
    .sort(([, a], [, b]) => order(a) - order(b))
    .flatMap(([name, group]) => [
      `#### ${name}`,
      ...[...group]
        .sort((a, b) => OPERATIONS.indexOf(a.op) - OPERATIONS.indexOf(b.op))
        .flatMap(line),
    ]);
}

function line(step: Step): string[] {
  const head = `- **${step.op}** ${kindOf(step)} \`${nameOf(step.urn)}\``;
  if (step.op === "create" || step.op === "delete") return [head];
  const changes = propertyChanges(step);
  if (changes.length === 0) return [`${head}: a secret value, or what only the update makes known`];
  const shown = changes
    .slice(0, MOST_PROPERTIES)
    .map(
      ({ path, before, after }: PropertyChange) =>
        `  - \`${path}\`: ${before === undefined ? "none" : `\`${before}\``} → ${
          after === undefined ? "none" : `\`${after}\``
        }`,
    );
  const rest = changes.length - shown.length;
  return [head, ...shown, ...(rest > 0 ? [`  - and ${String(rest)} more`] : [])];
}
