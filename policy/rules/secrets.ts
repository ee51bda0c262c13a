import { containers, isFromSecret, kindOf } from "../objects";
import type { Resource, ResourceRule, StackRule } from "../rule";
import type { Value } from "../values";
import { at, entries, items, text, texts } from "../values";

/** Names of variables and flags that hold secrets. */
const SECRET_NAME =
  /(^|[_-])(token|password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|credentials)$/i;

/** Texts that are secrets by their form, whatever they are called. */
const SECRET_FORMS: readonly RegExp[] = [
  /\bhf_[A-Za-z0-9]{20,}/,
  /\bgh[pousr]_[A-Za-z0-9]{30,}/,
  /\bgithub_pat_[A-Za-z0-9_]{30,}/,
  /\bglpat-[\w-]{20,}/,
  /\bAKIA[0-9A-Z]{16}\b/,
  /\bAIza[\w-]{35}/,
  /\bxox[abprs]-[\w-]{10,}/,
  /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\./,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  /"private_key"\s*:/,
  /:\/\/[^/\s:@]+:[^/\s@$]+@/,
];

/** Keys of Secrets that are names and addresses, which may well be seen elsewhere. */
const PUBLIC_KEY = /(^|_)(URL|HOST|ENDPOINT|USERNAME|USER)$/i;

/** Shorter values are found in other texts by chance. */
const SHORTEST = 12;

const isSecretText = (value: string): boolean => SECRET_FORMS.some((form) => form.test(value));

/** A secret is none if it is empty, a file's path, or the reference to a variable. */
const isHarmless = (value: string): boolean => value === "" || /^(\/|\$\()/.test(value);

function envFaults(name: string, container: Value): string[] {
  return items(at(container, "env")).flatMap((variable) => {
    const key = text(at(variable, "name")) ?? "";
    const value = text(at(variable, "value"));
    if (value === undefined || isFromSecret(variable)) return [];
    const secret = isSecretText(value) || (SECRET_NAME.test(key) && !isHarmless(value));
    return secret ? [`Container ${name} has the variable ${key} in plain text.`] : [];
  });
}

function argFaults(name: string, container: Value): string[] {
  const words = [...items(at(container, "command")), ...items(at(container, "args"))].map(text);
  return words.flatMap((word = "", index) => {
    if (isSecretText(word)) return [`Container ${name} has a secret on its command line.`];
    const [, flag = "", given] = /^--?([\w-]+)(?:=(.*))?$/s.exec(word) ?? [];
    const value = given ?? words[index + 1] ?? "";
    if (!SECRET_NAME.test(flag) || isHarmless(value)) return [];
    return [`Container ${name} has the value of --${flag} on its command line.`];
  });
}

/** What stands in a pod or a ConfigMap can be read by whoever may look at it. */
export const noPlainSecret: ResourceRule = {
  name: "no-plain-secret",
  description: "No secret stands in variables, command lines or ConfigMaps.",
  remedy:
    "Set it with pulumi config set --secret, put it into a Secret, and refer to it by secretKeyRef or a mounted file.",
  check: (resource) => [
    ...containers(resource).flatMap(({ name, value }) => [
      ...envFaults(name, value),
      ...argFaults(name, value),
    ]),
    ...(kindOf(resource) === "ConfigMap" ? entries(at(resource.props, "data")) : []).flatMap(
      ([key, value]) => (isSecretText(text(value) ?? "") ? [`The key ${key} holds a secret.`] : []),
    ),
  ],
};

/** Values of a Secret by key. */
function secretValues({ props }: Resource): [string, string][] {
  const encoded = entries(at(props, "data")).map(
    ([key, value]) => [key, decoded(text(value) ?? "")] as const,
  );
  const values = [...entries(at(props, "stringData")), ...encoded];
  return values.flatMap(([key, value]): [string, string][] => {
    const found = text(value);
    const counts = found !== undefined && found.length >= SHORTEST && !PUBLIC_KEY.test(key);
    return counts ? [[key, found]] : [];
  });
}

function decoded(value: string): string {
  return Buffer.from(value, "base64").toString("utf8");
}

/** The very values of the stack's Secrets, looked for everywhere else. */
export const secretsStayInSecrets: StackRule = {
  name: "secrets-stay-in-secrets",
  description: "The value of a Secret stands in no other resource.",
  remedy: "Refer to the Secret by name, with secretKeyRef or a mounted file, instead of its value.",
  checkStack: (resources) => {
    const secrets = resources.filter((resource) => kindOf(resource) === "Secret");
    const values = secrets.flatMap(secretValues);
    return resources
      .filter(
        (resource) => !secrets.includes(resource) && /^(kubernetes|docker):/.test(resource.type),
      )
      .flatMap((resource) => {
        // Credentials of the registry are for the builder, which is no part of the cluster.
        const parts = resource.type.startsWith("docker:")
          ? at(resource.props, "build", "args")
          : resource.props;
        const all = texts(parts);
        return values
          .filter(([, value]) => all.some((each) => each.includes(value)))
          .map(([key]) => ({ urn: resource.urn, message: `It holds the value of ${key}.` }));
      });
  },
};
