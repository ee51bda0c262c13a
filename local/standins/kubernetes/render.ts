import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { stringify } from "yaml";
import { objectAt, stringAt, type Props } from "../values.ts";

/** Where the official provider's render mode puts an object. */
export function renderedPath(folder: string, object: Props): string {
  const metadata = objectAt(object, "metadata");
  const kind = stringAt(object, "kind") ?? "";
  const apiVersion = (stringAt(object, "apiVersion") ?? "").replace(/[/:]/g, "_");
  const namespace = stringAt(metadata, "namespace") ?? "default";
  const name = stringAt(metadata, "name") ?? "";
  const part = kind === "CustomResourceDefinition" ? "0-crd" : "1-manifest";
  return join(folder, part, `${apiVersion}-${kind.toLowerCase()}-${namespace}-${name}.yaml`);
}

/** Writes the object as YAML, for its owner's eyes only: a Secret is in plain text there. */
export async function render(folder: string, object: Props): Promise<void> {
  const file = renderedPath(folder, object);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(file, stringify(object, { aliasDuplicateObjects: false }), { mode: 0o600 });
}

/** Removes the object's file. */
export async function unrender(folder: string, object: Props): Promise<void> {
  await rm(renderedPath(folder, object), { force: true });
}
