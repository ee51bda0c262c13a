import type {
  ResourceValidationArgs,
  ResourceValidationPolicy,
  StackValidationPolicy,
} from "@pulumi/policy";
import type { Resource, ResourceRule, RuleSettings, StackRule } from "./rule";
import { plain } from "./values";

/**
 * The rules as policies of Pulumi. Rules about a stack get the inputs of its resources, as the rules about single
 * resources have seen them: what Pulumi hands to a stack policy are outputs, which providers have filled with defaults.
 */
export function policies(
  resourceRules: readonly ResourceRule[],
  stackRules: readonly StackRule[],
): (ResourceValidationPolicy | StackValidationPolicy)[] {
  const seen = new Map<string, Resource>();
  return [
    ...resourceRules.map((rule): ResourceValidationPolicy => ({
      ...describe(rule),
      validateResource: (args, report) => {
        const resource = resourceOf(args);
        seen.set(resource.urn, resource);
        for (const fault of rule.check(resource, args.getConfig<RuleSettings>())) {
          report(violation(fault, rule));
        }
      },
    })),
    ...stackRules.map((rule): StackValidationPolicy => ({
      ...describe(rule),
      validateStack: (args, report) => {
        const faults = rule.checkStack([...seen.values()], args.getConfig<RuleSettings>());
        for (const { urn, message } of faults) report(violation(message, rule), urn);
      },
    })),
  ];
}

function describe({ name, description, remedy, settings = {} }: ResourceRule | StackRule) {
  const properties = Object.fromEntries(
    Object.entries(settings).map(([key, lists]) => [
      key,
      { type: "array" as const, items: { type: "string" as const }, description: lists },
    ]),
  );
  return {
    name,
    description,
    enforcementLevel: "mandatory" as const,
    remediationSteps: remedy,
    ...(Object.keys(properties).length > 0 ? { configSchema: { properties } } : {}),
  };
}

function resourceOf({ urn, type, props, opts }: ResourceValidationArgs): Resource {
  return { urn, type, props: plain(props), protect: opts.protect };
}

/** A fault and its remedy, as they stand below the policy's name. */
function violation(fault: string, { remedy }: ResourceRule | StackRule): string {
  return `${fault}\nWhat to do: ${remedy}`;
}
