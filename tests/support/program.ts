import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { parse } from "yaml";
import { settingsSchema } from "../../config/schema";
import { secretFaults } from "../../config/secrets";
import { COMMIT_ANNOTATION } from "../../workloads/training";
import "./mockHooks";

/** Folder of the project. */
export const ROOT = join(__dirname, "..", "..");

const SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d";

/** A resource as the program registered it. */
export interface Registered {
  readonly type: string;
  readonly name: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly opts: pulumi.CustomResourceOptions;
  /** Logical name of the parent, or undefined at the top. */
  readonly parent: string | undefined;
}

/** A stack's configuration: settings, and secrets in plain text. */
export interface StackInput {
  readonly stack: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly secrets?: Readonly<Record<string, string>>;
}

/** What a run of the program made. */
export interface ProgramRun {
  readonly resources: readonly Registered[];
  readonly outputs: Readonly<Record<string, unknown>>;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function autoName(name: string, inputs: { metadata?: { name?: string } }): string {
  return inputs.metadata?.name ?? `${name}-${digestOf(name).slice(0, 8)}`;
}

/** State that a provider would answer with. Every name and digest is derived, none is random. */
function stateOf(
  { type, name, inputs }: pulumi.runtime.MockResourceArgs,
  project: string,
): Record<string, unknown> {
  const given = inputs as Record<string, unknown> & { metadata?: { name?: string } };
  if (type === "docker:index/image:Image") {
    const repository = String(given["imageName"]).replace(/:[^:/]*$/, "");
    return { ...given, repoDigest: `${repository}@sha256:${digestOf(repository)}` };
  }
  if (type === "random:index/randomPassword:RandomPassword") {
    return { ...given, result: `generated-${name}` };
  }
  if (type === "gcp:serviceaccount/account:Account") {
    const email = `${String(given["accountId"])}@${project}.iam.gserviceaccount.com`;
    const account = `projects/${project}/serviceAccounts/${email}`;
    return { ...given, email, name: account, member: `serviceAccount:${email}` };
  }
  if (type === "gcp:container/cluster:Cluster") {
    return { ...given, endpoint: "192.0.2.1", masterAuth: { clusterCaCertificate: "Y2E=" } };
  }
  if (type.startsWith("kubernetes:")) {
    return { ...given, metadata: { ...given.metadata, name: autoName(name, given) } };
  }
  return given;
}

/** A value for every secret that the settings cannot do without. */
function neededSecrets(settings: Readonly<Record<string, unknown>>): Record<string, string> {
  const parsed = settingsSchema.safeParse(settings);
  if (!parsed.success) return {};
  const missing = secretFaults(parsed.data, () => ({ isSet: false, isSecret: false }));
  return Object.fromEntries(missing.map(({ key }) => [key, `placeholder-${key}`]));
}

/** Reads the committed configuration of a stack. The secrets that it needs get a placeholder. */
export function stackFile(stack: string): StackInput {
  const file = parse(readFileSync(join(ROOT, `Pulumi.${stack}.yaml`), "utf8")) as {
    config: Record<string, unknown>;
  };
  const settings = Object.entries(file.config).map(([key, value]) => [
    key.replace(/^llmops:/, ""),
    value,
  ]);
  const tree = Object.fromEntries(settings) as Record<string, unknown>;
  return { stack, settings: tree, secrets: neededSecrets(tree) };
}

function configure({ stack, settings, secrets = {} }: StackInput): void {
  const plain = Object.entries(settings).map(([key, value]) => [
    `llmops:${key}`,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  const hidden = Object.entries(secrets).map(([key, value]) => [`llmops:${key}`, value]);
  const { project = "acme-ml" } = (settings["gcp"] ?? {}) as { project?: string };
  void pulumi.runtime.setMocks(
    {
      newResource: (args) => ({ id: `${args.name}-id`, state: stateOf(args, project) }),
      call: ({ token }) => {
        throw new Error(`the program called ${token}`);
      },
    },
    "llmops",
    stack,
    false,
  );
  const setAll = pulumi.runtime.setAllConfig as (c: object, secretKeys: string[]) => void;
  setAll(
    Object.fromEntries([...plain, ...hidden]) as object,
    hidden.map(([key]) => String(key)),
  );
}

/** Whether a serialized value is in Pulumi's secret envelope. */
export function isSecretEnvelope(value: unknown): boolean {
  return typeof value === "object" && value !== null && SECRET_SIGNATURE in value;
}

/** Replaces secret values by a word, keeping the keys of a secret map. Leaves out the commit: another one changes no run. */
export function redact(value: unknown): unknown {
  if (isSecretEnvelope(value)) {
    const { value: hidden } = value as { value: unknown };
    return typeof hidden === "object" && hidden !== null
      ? Object.fromEntries(Object.keys(hidden).map((key) => [key, "[secret]"]))
      : "[secret]";
  }
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([key]) => key !== COMMIT_ANNOTATION);
  return Object.fromEntries(fields.map(([key, field]) => [key, redact(field)]));
}

async function resolve(value: unknown): Promise<unknown> {
  const output = pulumi.output(value) as pulumi.Output<unknown> & {
    promise(): Promise<unknown>;
    isSecret: Promise<boolean>;
  };
  const plain = await output.promise();
  return (await output.isSecret) ? { [SECRET_SIGNATURE]: "secret", value: plain } : plain;
}

async function resolveInputs(props: Record<string, unknown>): Promise<Record<string, unknown>> {
  const resolveDeep = async (value: unknown): Promise<unknown> => {
    if (pulumi.Output.isInstance(value)) return resolve(value);
    if (value instanceof Promise) return resolveDeep(await value);
    if (Array.isArray(value)) return Promise.all(value.map(resolveDeep));
    if (typeof value !== "object" || value === null) return value;
    if (pulumi.Resource.isInstance(value)) return undefined;
    const entries = await Promise.all(
      Object.entries(value).map(async ([key, field]) => [key, await resolveDeep(field)] as const),
    );
    return Object.fromEntries(entries.filter(([, field]) => field !== undefined));
  };
  return (await resolveDeep(props)) as Record<string, unknown>;
}

/**
 * Runs `make` as a Pulumi program against mocks and returns every resource it registered, with
 * parents and options, sorted by type and name.
 */
export function runProgram(
  input: StackInput,
  make: () => Promise<Record<string, unknown> | undefined>,
): Promise<ProgramRun> {
  // Pulumi's mocks are global: one program at a time.
  const run = queue.then(() => runAlone(input, make));
  queue = run.then(
    () => undefined,
    () => undefined,
  );
  return run;
}

let queue: Promise<unknown> = Promise.resolve();

async function runAlone(
  input: StackInput,
  make: () => Promise<Record<string, unknown> | undefined>,
): Promise<ProgramRun> {
  configure(input);
  const seen: Promise<Registered>[] = [];
  const failures: unknown[] = [];
  let outputs: Record<string, unknown> = {};
  await pulumi.runtime.runInPulumiStack(async () => {
    pulumi.runtime.registerStackTransformation(({ type, name, props, opts }) => {
      const parent = (opts.parent as unknown as { __name?: string } | undefined)?.__name;
      seen.push(
        resolveInputs(props as Record<string, unknown>).then((inputs) => ({
          type,
          name,
          inputs,
          opts: opts,
          parent: parent === `llmops-${input.stack}` ? undefined : parent,
        })),
      );
      return undefined;
    });
    // Thrown inside, an error would end the process instead of the test.
    try {
      outputs = (await make()) ?? {};
    } catch (error) {
      failures.push(error);
    }
    return outputs;
  });
  await pulumi.runtime.disconnect();
  if (failures.length > 0) throw failures[0];
  const resources = await Promise.all(seen);
  resources.sort((a, b) => (`${a.type} ${a.name}` < `${b.type} ${b.name}` ? -1 : 1));
  return { resources, outputs: await resolveInputs(outputs) };
}

/** The Kubernetes objects among the resources, as they would be sent to the API server. */
export function kubernetesObjects({ resources }: ProgramRun): Record<string, unknown>[] {
  return resources.flatMap(({ type, name, inputs }) => {
    const match = /^kubernetes:(?:(core|[\w.-]+)\/)?(v\w+):(\w+)$/.exec(type);
    if (match === null) return [];
    const [, group, version, kind] = match;
    const { metadata, ...rest } = inputs as { metadata?: Record<string, unknown> };
    return [
      {
        apiVersion:
          group === "core" || group === undefined ? version : `${group}/${String(version)}`,
        kind,
        metadata: { ...metadata, name: autoName(name, inputs) },
        ...rest,
      },
    ];
  });
}
