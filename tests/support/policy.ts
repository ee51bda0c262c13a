import type { Resource } from "../../policy/rule";
import { resourceRules, stackRules } from "../../policy/rules";
import { settings } from "../../policy/settings";
import type { Value } from "../../policy/values";
import { plain } from "../../policy/values";
import type { ProgramRun } from "./program";
import { isSecretEnvelope } from "./program";

/** A violation as a reader of the preview sees it: which policy, about what, and what to do. */
export interface Violation {
  readonly policy: string;
  readonly resource: string;
  readonly message: string;
  readonly remedy: string;
}

/** Values as a policy gets them: Pulumi takes secrets out of their envelopes. */
function opened(value: unknown): unknown {
  if (isSecretEnvelope(value)) return opened((value as { value: unknown }).value);
  if (Array.isArray(value)) return value.map(opened);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, opened(field)]));
}

/** The resources of a run of the program as policies see them; every Kubernetes object has a name by then. */
export function policyResources(stack: string, { resources }: ProgramRun): Resource[] {
  return resources.map(({ type, name, inputs, opts }) => {
    const given = opened(inputs) as { metadata?: object };
    const props = type.startsWith("kubernetes:")
      ? { ...given, metadata: { name, ...given.metadata } }
      : given;
    const urn = `urn:pulumi:${stack}::llmops::${type}::${name}`;
    return { urn, type, props: plain(props), protect: opts.protect === true };
  });
}

/** A resource of a test. */
export function resource(type: string, props: Value, change: Partial<Resource> = {}): Resource {
  return { urn: `urn:pulumi:test::llmops::${type}::it`, type, props, protect: false, ...change };
}

/** What the whole pack finds, with its own settings. */
export function violations(resources: readonly Resource[]): Violation[] {
  const nameOf = (urn: string): string => urn.split("::").at(-1) ?? "";
  return [
    ...resourceRules.flatMap(({ name, remedy, check }) =>
      resources.flatMap((each) =>
        check(each, settings[name] ?? {}).map((message) => ({
          policy: name,
          resource: nameOf(each.urn),
          message,
          remedy,
        })),
      ),
    ),
    ...stackRules.flatMap(({ name, remedy, checkStack }) =>
      checkStack(resources, settings[name] ?? {}).map(({ urn, message }) => ({
        policy: name,
        resource: nameOf(urn),
        message,
        remedy,
      })),
    ),
  ];
}
