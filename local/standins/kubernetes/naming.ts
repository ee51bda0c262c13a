import { createHash } from "node:crypto";
import type { CheckArgs } from "../provider.ts";
import { at, isUnknown, objectAt, stringAt, type Props } from "../values.ts";
import { annotation } from "./kinds.ts";

const autonamed = "pulumi.com/autonamed";

/** Whether the provider chose the name. */
export function isAutonamed(object: Props): boolean {
  return at(object, "metadata", "annotations", autonamed) === "true";
}

function named(object: Props, name: string): Props {
  const metadata = objectAt(object, "metadata");
  const annotations = { ...objectAt(metadata, "annotations"), [autonamed]: "true" };
  return { ...object, metadata: { ...metadata, annotations, name } };
}

/**
 * Gives an object without a name the one it had, or a new one: the logical name, and eight hexadecimal
 * digits from the engine's seed.
 */
export function withName(object: Props, olds: Props, args: CheckArgs): Props {
  const metadata = object["metadata"];
  const given = at(metadata, "name");
  if (isUnknown(metadata) || (given !== undefined && given !== "")) {
    return object;
  }
  const old = stringAt(objectAt(olds, "metadata"), "name");
  if (old !== undefined && isAutonamed(olds)) {
    return named(object, old);
  }
  const { autonaming } = args;
  if (autonaming.mode === "disable") {
    throw new Error(`${args.name} needs metadata.name: autonaming is disabled for this stack`);
  }
  if (autonaming.name !== "") {
    return named(object, autonaming.name);
  }
  const digest = createHash("sha256").update(args.seed).update(args.urn).digest("hex");
  return named(object, `${args.name.toLowerCase()}-${digest.slice(0, 8)}`);
}

/** The name under which the stand-in applies: the same for each resource of each stack, for ever. */
export function fieldManager(urn: string): string {
  return `pulumi-kubernetes-${createHash("sha256").update(urn).digest("hex").slice(0, 8)}`;
}

/** What an object asks for that this stand-in cannot do. */
export function refusals(object: Props): { property: string; reason: string }[] {
  const generated = objectAt(object, "metadata")["generateName"] !== undefined;
  const waits = annotation(object, "waitFor") !== undefined;
  return [
    ...(generated
      ? [{ property: "metadata.generateName", reason: "server-side apply cannot generate names" }]
      : []),
    ...(waits
      ? [
          {
            property: "metadata.annotations",
            reason: "the stand-in does not know pulumi.com/waitFor",
          },
        ]
      : []),
  ];
}
