import { existsSync, readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { ProgramRun, Registered } from "../support/program";
import { isSecretEnvelope, kubernetesObjects, redact, stackFile } from "../support/program";
import { runStack } from "../support/stack";

const STACKS = ["dev", "local", "prod"] as const;

/** A value for each secret; none may be seen anywhere but in a Secret. */
const PLANTED = {
  HF_TOKEN: "planted-hub-token",
  ARTIFACTORY_URL: "planted-artifactory-url",
  ARTIFACTORY_USERNAME: "planted-artifactory-user",
  ARTIFACTORY_PASSWORD: "planted-artifactory-password",
  VLLM_API_KEY: "planted-api-key",
};

/** Kinds that hold data; each needs an explicit choice of what becomes of it. */
const STATEFUL = /:(PersistentVolume|PersistentVolumeClaim|StatefulSet)$/;

interface PodSpec {
  readonly automountServiceAccountToken?: boolean;
  readonly enableServiceLinks?: boolean;
  readonly hostNetwork?: boolean;
  readonly securityContext?: object;
  readonly volumes?: readonly object[];
  readonly containers: readonly {
    readonly image: string;
    readonly resources?: { readonly requests?: object; readonly limits?: object };
    readonly securityContext?: object;
  }[];
}

function podSpecs(run: ProgramRun): PodSpec[] {
  return kubernetesObjects(run).flatMap((object) => {
    const { spec } = object as { spec?: { template?: { spec?: PodSpec } } };
    return spec?.template?.spec === undefined ? [] : [spec.template.spec];
  });
}

const named = (resources: readonly Registered[], kind: string): readonly Registered[] =>
  resources.filter(({ type }) => type.endsWith(`:${kind}`));

describe.each(STACKS)("stack %s", (stack) => {
  let run: Promise<ProgramRun>;
  beforeAll(() => {
    run = runStack(stackFile(stack));
  });

  test("makes the objects that its golden file shows", async () => {
    const text = kubernetesObjects(await run)
      .map((object) => stringify(redact(object)))
      .join("---\n");
    const folder = join(__dirname, "golden");
    const file = join(folder, `${stack}.yaml`);
    if (process.env["UPDATE_GOLDEN"] === "1") {
      mkdirSync(folder, { recursive: true });
      writeFileSync(file, text);
    }
    expect(existsSync(file)).toBe(true);
    expect(text).toBe(readFileSync(file, "utf8"));
  });

  test("is the same when it runs again", async () => {
    const again = await runStack(stackFile(stack));
    expect(kubernetesObjects(again)).toEqual(kubernetesObjects(await run));
  });

  test("every pod is restricted, has requests and limits, and runs an image by digest", async () => {
    const specs = podSpecs(await run);
    expect(specs.length).toBeGreaterThanOrEqual(3);
    for (const spec of specs) {
      expect(spec).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      });
      expect(spec.hostNetwork).toBeUndefined();
      expect(spec.volumes?.some((volume) => "hostPath" in volume)).toBe(false);
      for (const { image, resources, securityContext } of spec.containers) {
        expect(image).toMatch(/@sha256:[0-9a-f]{64}$/);
        expect(resources?.requests).toMatchObject({ cpu: expect.any(String) });
        expect(resources?.limits).toMatchObject({ memory: expect.any(String) });
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
        });
      }
    }
  });

  test("every stateful resource has an explicit choice, the same for protect and retain", async () => {
    const stateful = (await run).resources.filter(({ type }) => STATEFUL.test(type));
    expect(stateful.length).toBeGreaterThan(0);
    for (const { opts } of stateful) {
      expect(typeof opts.protect).toBe("boolean");
      expect(opts.retainOnDelete).toBe(opts.protect);
    }
  });

  test("no Deployment under an autoscaler sets replicas", async () => {
    const objects = kubernetesObjects(await run) as {
      kind: string;
      metadata: { name: string };
      spec?: { replicas?: number; scaleTargetRef?: { name: string } };
    }[];
    const targets = objects.flatMap(({ spec }) => spec?.scaleTargetRef?.name ?? []);
    expect(targets.length).toBeGreaterThan(0);
    const scaled = objects.filter(
      ({ kind, metadata }) => kind === "Deployment" && targets.includes(metadata.name),
    );
    expect(scaled).toHaveLength(targets.length);
    for (const { spec } of scaled) expect(spec).not.toHaveProperty("replicas");
  });

  test("a model that serves the training run waits for the run", async () => {
    const { resources } = await run;
    const server = resources.find(
      ({ type, name }) => type === "llmops:index:ModelServer" && name === "lumen7",
    );
    const waitsFor = [server?.opts.dependsOn].flat().map((resource) => {
      return (resource as { __name?: string } | undefined)?.__name;
    });
    expect(waitsFor).toEqual(["llama-factory-train"]);
  });

  test("secrets are in Secrets, in the envelope, and nowhere else", async () => {
    const { resources, outputs } = await runStack({ ...stackFile(stack), secrets: PLANTED });
    for (const { type, inputs } of resources) {
      const plain = JSON.stringify(redact(inputs));
      for (const value of Object.values(PLANTED)) expect(plain).not.toContain(value);
      if (!type.endsWith(":Secret")) expect(JSON.stringify(inputs)).not.toContain("planted-");
    }
    expect(JSON.stringify(redact(outputs))).not.toContain("planted-");
    const data = named(resources, "Secret").map(({ inputs }) => inputs["stringData"]);
    expect(data.every(isSecretEnvelope)).toBe(true);
    expect(data.flatMap((values) => Object.keys(redact(values) as object)).sort()).toEqual(
      Object.keys(PLANTED).sort(),
    );
  });

  test("a changed secret changes no name: only the Secret itself and the pods that read it", async () => {
    const other = { ...PLANTED, HF_TOKEN: "planted-another-token" };
    const before = await runStack({ ...stackFile(stack), secrets: PLANTED });
    const after = await runStack({ ...stackFile(stack), secrets: other });
    expect(kubernetesObjects(after).map(redact)).toEqual(kubernetesObjects(before).map(redact));
  });
});

describe("wrong configuration stops the program before anything is made", () => {
  test("all faults at once", async () => {
    const { settings } = stackFile("dev");
    const input = {
      stack: "dev",
      settings: { ...settings, modles: [], models: [], namespace: "Not_A_Name" },
    };
    await expect(runStack(input)).rejects.toThrow(/has 3 faults; nothing was created/);
  });

  test("a secret that is missing is named with the command to type", async () => {
    const { settings } = stackFile("dev");
    const training = { ...(settings["training"] as object), tracking: { wandb: true } };
    await expect(runStack({ stack: "dev", settings: { ...settings, training } })).rejects.toThrow(
      "pulumi config set --secret WANDB_API_KEY",
    );
  });

  test.each([
    ["no/such/file.yaml", /"no\/such\/file\.yaml": Error: ENOENT/],
    ["README.md", /training\.configFile/],
  ])("training file %s", async (configFile, message) => {
    const { settings } = stackFile("dev");
    const training = { ...(settings["training"] as object), configFile };
    await expect(runStack({ stack: "dev", settings: { ...settings, training } })).rejects.toThrow(
      message,
    );
  });

  test("a secret under a name that is none is refused and not shown", async () => {
    const input = { ...stackFile("dev"), secrets: { HF_TOKN: "planted-value" } };
    await expect(runStack(input)).rejects.toThrow(/HF_TOKN[^]*encrypted value \(not shown\)/);
    await expect(runStack(input)).rejects.not.toThrow(/planted-value/);
  });
});
