import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { instanceFolders } from "../local/toolchain/paths.ts";
import { GoTools } from "../local/toolchain/goTools.ts";
import { succeed } from "./measure.ts";
import { ROOT } from "./stack.ts";

/** Another tool's command that tells what an update would change, over objects that are as it wants them. */
export interface Peer {
  /** Number of objects. */
  readonly objects: number;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Address of the provider in OpenTofu's terms: on this machine only. */
const PROVIDER = "llmops.local/bench/kubectl";

/** The tools' state is plain unless they are told otherwise; Pulumi's never is. */
const ENCRYPTION = `
key_provider "pbkdf2" "bench" { passphrase = "a passphrase of the bench" }
method "aes_gcm" "bench" { keys = key_provider.pbkdf2.bench }
state { method = method.aes_gcm.bench }
plan { method = method.aes_gcm.bench }`;

/** OpenTofu and its provider for Kubernetes objects, built where they are not in the cache yet. */
async function openTofu(): Promise<{ tofu: string; provider: string; version: string }> {
  const goFolder = join(ROOT, "bench", "go");
  const tools = new GoTools({ goFolder, logs: instanceFolders(ROOT).logs });
  for (const name of ["opentofu", "kubectl-provider"]) {
    if (await tools.has(name)) continue;
    process.stderr.write(`building ${name} for the comparison: some minutes, once\n`);
    await tools.ensure(name);
  }
  const { bin: tofu } = await tools.ensure("opentofu");
  const { bin, version } = await tools.ensure("kubectl-provider");
  const provider = join(bin, tools.recipe("kubectl-provider").output);
  return { tofu: join(tofu, "tofu"), provider, version };
}

/** Writes the Kubernetes objects of the stack `prod` as files, as `make render` does. */
async function renderProd(folder: string): Promise<string[]> {
  const script = ["--require", "./scripts/typescript.cjs", join("scripts", "render.ts")];
  const at = { cwd: ROOT, env: process.env };
  await succeed([process.execPath, ...script, "prod", folder], at);
  return readdir(folder);
}

const NAMESPACE = "namespace-llmops";

/** One `kubectl_manifest` an object, applied as our provider applies it. */
function configuration(files: readonly string[], kubeconfig: string, version: string): object {
  const manifests = files.map((file) => {
    const name = basename(file, ".yaml");
    const manifest = {
      yaml_body: `\${file("objects/${file}")}`,
      server_side_apply: true,
      force_conflicts: true,
      wait_for_rollout: false,
      ...(name === NAMESPACE ? {} : { depends_on: [`kubectl_manifest.${NAMESPACE}`] }),
    };
    return [name, manifest] as const;
  });
  return {
    terraform: { required_providers: { kubectl: { source: PROVIDER, version } } },
    provider: { kubectl: { config_path: kubeconfig } },
    resource: { kubectl_manifest: Object.fromEntries(manifests) },
  };
}

/** Calls `use` with `tofu plan` over the objects of `prod`, which it has applied. */
export async function withTofuPlan<T>(
  kubeconfig: string,
  { encrypted }: { readonly encrypted: boolean },
  use: (peer: Peer) => Promise<T>,
): Promise<T> {
  const { tofu, provider, version } = await openTofu();
  const cwd = await mkdtemp(join(tmpdir(), "llmops-bench-tofu-"));
  try {
    const files = await renderProd(join(cwd, "objects"));
    const main = configuration(files, kubeconfig, version);
    await writeFile(join(cwd, "main.tf.json"), JSON.stringify(main));
    const mirror = join(cwd, "mirror");
    const place = join(mirror, PROVIDER, version, "linux_amd64");
    await mkdir(place, { recursive: true });
    await copyFile(provider, join(place, `terraform-provider-kubectl_v${version}`));
    const settings = `provider_installation { filesystem_mirror { path = "${mirror}" } }\n`;
    await writeFile(join(cwd, "tofurc"), settings);
    const env = {
      ...process.env,
      TF_CLI_CONFIG_FILE: join(cwd, "tofurc"),
      CHECKPOINT_DISABLE: "true",
      ...(encrypted ? { TF_ENCRYPTION: ENCRYPTION } : {}),
    };
    await succeed([tofu, "init", "-input=false"], { cwd, env });
    await succeed([tofu, "apply", "-auto-approve", "-input=false"], { cwd, env });
    const command = [tofu, "plan", "-detailed-exitcode", "-input=false"];
    return await use({ objects: files.length, command, cwd, env });
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}
