import type { Value } from "./values";

/** A resource as the program asks for it. */
export interface Resource {
  readonly urn: string;
  /** Type token, such as `kubernetes:apps/v1:Deployment`. */
  readonly type: string;
  /** Inputs, before a provider has filled in defaults. */
  readonly props: Value;
  /** Whether Pulumi refuses to delete it. */
  readonly protect: boolean;
}

/** Settings of a rule: lists of texts by name. */
export type RuleSettings = Readonly<Record<string, readonly string[]>>;

interface RuleText {
  /** Name of the policy in Pulumi's output. */
  readonly name: string;
  /** What must hold. */
  readonly description: string;
  /** What to do about a violation. */
  readonly remedy: string;
  /** Settings that the rule reads, and what each lists. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A rule about one resource at a time. */
export interface ResourceRule extends RuleText {
  /** What is wrong with the resource: one sentence a fault, without any secret value. */
  readonly check: (resource: Resource, settings: RuleSettings) => readonly string[];
}

/** A fault that several resources together show. */
export interface StackFault {
  readonly urn: string;
  readonly message: string;
}

/** A rule about the resources of a stack together. */
export interface StackRule extends RuleText {
  readonly checkStack: (
    resources: readonly Resource[],
    settings: RuleSettings,
  ) => readonly StackFault[];
}

/** Name of the stack that a resource belongs to. */
export function stackOf({ urn }: Resource): string {
  return urn.split("::")[0]?.split(":").at(-1) ?? "";
}
