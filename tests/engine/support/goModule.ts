import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/**
 * Folder with the sources of a module, which Go fetches once and checks against the go.sum beside its go.mod.
 *
 * @param required - folder with a go.mod that requires it
 */
export async function goModule(module: string, required: string): Promise<string> {
  const options = {
    cwd: required,
    env: { ...process.env, GOFLAGS: "-mod=readonly", GOWORK: "off" },
  };
  const { stdout } = await execute("go", ["mod", "download", "-json", module], options);
  const { Dir } = JSON.parse(stdout) as { Dir: string };
  return Dir;
}
