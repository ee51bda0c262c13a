import { z } from "zod";
import { settingsSchema } from "../config/schema";
import { SECRET_KEYS } from "../config/secrets";

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly additionalProperties?: Schema | boolean;
}

function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined)
    return schema.enum.map((value) => `\`${String(value)}\``).join(", ");
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.type === "object") return "map";
  const range =
    schema.minimum !== undefined && schema.maximum !== undefined
      ? ` ${String(schema.minimum)} to ${String(schema.maximum)}`
      : "";
  return `${schema.type ?? "any"}${range}`;
}

function rows(path: string, schema: Schema, required: boolean): string[] {
  const variants = schema.oneOf;
  if (variants !== undefined) {
    return variants.flatMap((variant) => {
      const kind = Object.values(variant.properties ?? {}).find((each) => each.const !== undefined);
      return rows(`${path}{${String(kind?.const)}}`, variant, required);
    });
  }
  const { items } = schema;
  if (items?.properties !== undefined || items?.oneOf !== undefined) {
    return rows(`${path}[]`, items, required);
  }
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([name, child]) =>
      child.const !== undefined
        ? [`| \`${path}.${name}\` | ${typeOf(child)} | required |`]
        : rows(
            path === "" ? name : `${path}.${name}`,
            child,
            schema.required?.includes(name) ?? false,
          ),
    );
  }
  const value =
    schema.default === undefined
      ? required
        ? "required"
        : ""
      : `\`${JSON.stringify(schema.default)}\``;
  return [`| \`${path}\` | ${typeOf(schema)} | ${value} |`];
}

/** The reference of all settings as Markdown, made from the schema itself. */
export function settingsTable(): string {
  const schema = z.toJSONSchema(settingsSchema, { io: "input" }) as Schema;
  return [
    "# Settings",
    "",
    "Every key below stands in `Pulumi.<stack>.yaml` with `llmops:` before its first part. `[]` is a list,",
    "`{kind}` the variant of that kind. `make render STACK=<name> OUT=<dir>` shows what they become.",
    "Made from the schema in `config/` by `scripts/settingsDoc.ts`; do not edit.",
    "",
    "| setting | value | default |",
    "| --- | --- | --- |",
    ...rows("", schema, true),
    "",
    "Secrets are set apart, with `pulumi config set --secret <key>`, and only where they are needed:",
    `${SECRET_KEYS.map((key) => `\`${key}\``).join(", ")}.`,
    "",
  ].join("\n");
}
