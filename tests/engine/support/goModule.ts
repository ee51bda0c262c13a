import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";
import { until } from "../../../local/cluster/poll.ts";
import type { ApiObject, ControlPlane } from "./controlPlane";

const execute = promisify(execFile);

/** Where the definitions of an API are: a module of Go's proxy, and files in it. */
export interface Definitions {
  /** Name of the folder beside this file whose go.mod requires the module. */
  readonly folder: string;
  readonly module: string;
  readonly files: readonly string[];
}

/** Folder with the sources of a module, which Go fetches once and checks against the go.sum beside its go.mod. */
async function moduleFolder({ folder, module }: Definitions): Promise<string> {
  const env = { ...process.env, GOFLAGS: "-mod=readonly", GOWORK: "off" };
  const options = { cwd: join(__dirname, folder), env };
  const { stdout } = await execute("go", ["mod", "download", "-json", module], options);
  return (JSON.parse(stdout) as { Dir: string }).Dir;
}

/** Gives an API server kinds of somebody else's, as they are installed, and waits until it serves them. */
export async function installDefinitions(
  plane: ControlPlane,
  definitions: Definitions,
): Promise<void> {
  const all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const folder = await moduleFolder(definitions);
  for (const file of definitions.files) {
    const definition = parse(readFileSync(join(folder, file), "utf8")) as ApiObject & Definition;
    await plane.request("POST", all, definition);
    const { group, names, versions } = definition.spec;
    const version = versions.find(({ storage }) => storage)?.name ?? "";
    await until(`the API of ${names.plural}`, 60, () =>
      plane.request("GET", `/apis/${group}/${version}/namespaces/default/${names.plural}`),
    );
  }
}

interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string };
    readonly versions: readonly { readonly name: string; readonly storage: boolean }[];
  };
}
