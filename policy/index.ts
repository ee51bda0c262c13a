import { PolicyPack } from "@pulumi/policy";
import { policies } from "./pack";
import { resourceRules, stackRules } from "./rules";
import { settings } from "./settings";

// Settings without a level of their own would make the engine take their policy for advisory.
const initial = Object.entries(settings).map(
  ([name, lists]) => [name, { enforcementLevel: "mandatory" as const, ...lists }] as const,
);

new PolicyPack(
  "llmops",
  { policies: policies(resourceRules, stackRules) },
  Object.fromEntries(initial),
);
