import { readFileSync } from "node:fs";
import { copyFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { ROOT, kubernetesObjects, redact, stackFile } from "../support/program";
import { runStack } from "../support/stack";
import type { ApiObject } from "./support/controlPlane";
import { ControlPlane } from "./support/controlPlane";
import { until } from "../../local/cluster/poll.ts";
import { PulumiProject } from "./support/pulumiProject";

const PACK = ["--policy-pack", join(ROOT, "policy")];

const STACKS = ["airgapped", "dev", "local", "prod"] as const;

/** Where the API serves a kind: path prefix and plural. */
const KINDS: Readonly<Record<string, readonly [prefix: string, plural: string]>> = {
  ConfigMap: ["/api/v1", "configmaps"],
  Secret: ["/api/v1", "secrets"],
  Service: ["/api/v1", "services"],
  ServiceAccount: ["/api/v1", "serviceaccounts"],
  PersistentVolumeClaim: ["/api/v1", "persistentvolumeclaims"],
  Deployment: ["/apis/apps/v1", "deployments"],
  StatefulSet: ["/apis/apps/v1", "statefulsets"],
  Job: ["/apis/batch/v1", "jobs"],
  CronJob: ["/apis/batch/v1", "cronjobs"],
  HorizontalPodAutoscaler: ["/apis/autoscaling/v2", "horizontalpodautoscalers"],
  PodDisruptionBudget: ["/apis/policy/v1", "poddisruptionbudgets"],
  NetworkPolicy: ["/apis/networking.k8s.io/v1", "networkpolicies"],
};

const CLUSTER_KINDS: Readonly<Record<string, string>> = {
  Namespace: "/api/v1/namespaces",
  PersistentVolume: "/api/v1/persistentvolumes",
};

const STRICT = "?dryRun=All&fieldValidation=Strict";

interface PodTemplate {
  readonly template?: { readonly metadata: object; readonly spec: object };
}

interface Manifest extends ApiObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: PodTemplate & { readonly jobTemplate?: { readonly spec: PodTemplate } };
}

function collection({ kind, metadata }: Manifest): string {
  const cluster = CLUSTER_KINDS[kind];
  if (cluster !== undefined) return cluster;
  const served = KINDS[kind];
  if (served === undefined) throw new Error(`the test knows no path for ${kind}`);
  return `${served[0]}/namespaces/${metadata.namespace ?? ""}/${served[1]}`;
}

let plane: ControlPlane;
beforeAll(async () => {
  plane = await ControlPlane.start();
}, 120_000);
afterAll(() => plane.stop());

/** The program itself in a folder with a state of its own, so that nothing lands in the checkout. */
async function programProject(stack: string): Promise<PulumiProject> {
  const project = await PulumiProject.create({ KUBECONFIG: plane.kubeconfig });
  for (const name of ["package.json", "tsconfig.json", "Pulumi.yaml"]) {
    await rm(join(project.folder, name));
    await copyFile(join(ROOT, name), join(project.folder, name));
  }
  for (const name of [
    "index.ts",
    "config",
    "workloads",
    "components",
    "images",
    "examples",
    "scripts",
  ]) {
    await symlink(join(ROOT, name), join(project.folder, name));
  }
  await project.succeed("stack", "init", stack);
  // The salt that `stack init` wrote stays; the settings are the committed ones.
  const salt = parse(readFileSync(join(project.folder, `Pulumi.${stack}.yaml`), "utf8")) as object;
  const committed = parse(readFileSync(join(ROOT, `Pulumi.${stack}.yaml`), "utf8")) as object;
  await writeFile(
    join(project.folder, `Pulumi.${stack}.yaml`),
    stringify({ ...salt, ...committed }),
  );
  await project.succeed("config", "set", "--path", "llmops:cluster.context", "test");
  return project;
}

describe.each(STACKS)("stack %s", (stack) => {
  test("the API server accepts every object, strictly, and every pod template passes restricted", async () => {
    const objects = kubernetesObjects(await runStack(stackFile(stack))).map(
      (object) => redact(object) as Manifest,
    );
    const namespace = objects.find(({ kind }) => kind === "Namespace");
    if (namespace === undefined) throw new Error("every stack has a namespace");
    const path = `/api/v1/namespaces/${namespace.metadata.name}`;
    await plane.request("POST", `/api/v1/namespaces?fieldValidation=Strict`, namespace);
    try {
      for (const object of objects.filter(({ kind }) => kind !== "Namespace")) {
        const answer = await plane.request("POST", `${collection(object)}${STRICT}`, object);
        expect(answer).toMatchObject({ kind: object.kind });
      }
      const templates = objects.flatMap(
        ({ spec }) => (spec?.jobTemplate?.spec ?? spec)?.template ?? [],
      );
      expect(templates.length).toBeGreaterThanOrEqual(3);
      for (const template of templates) {
        const pod = {
          apiVersion: "v1",
          kind: "Pod",
          ...template,
          metadata: { ...template.metadata, name: "probe" },
        };
        expect(await plane.request("POST", `${path}/pods${STRICT}`, pod)).toBeDefined();
        const privileged = { ...pod, spec: { ...template.spec, hostNetwork: true } };
        await expect(plane.request("POST", `${path}/pods${STRICT}`, privileged)).rejects.toThrow(
          /violates PodSecurity[^]*hostNetwork=true/,
        );
      }
    } finally {
      await plane.request("DELETE", path);
      await until("the namespace's end", 60, async () =>
        (await plane.request("GET", path)) === undefined ? true : undefined,
      );
    }
  }, 120_000);

  test("a preview creates what the golden file shows, shows no secret, and breaks no policy", async () => {
    const project = await programProject(stack);
    try {
      const needed = Object.keys(stackFile(stack).secrets ?? {});
      const planted = ["HF_TOKEN", "VLLM_API_KEY", ...needed].map(
        (key) => [key, `planted-${key}-value`] as const,
      );
      for (const [key, value] of planted) {
        await project.succeed("config", "set", "--secret", key, value);
      }
      const judged = await project.succeed("preview", ...PACK);
      expect(judged.text).toMatch(/✅ llmops@v0\.1\.0/);
      const { text } = await project.succeed("preview", "--diff");
      for (const [, value] of planted) expect(text).not.toContain(value);
      const plan = await project.plan();
      expect(new Set(plan.map(({ op }) => op))).toEqual(new Set(["create"]));
      const secrets = Object.fromEntries(planted);
      const { resources } = await runStack({ ...stackFile(stack), secrets });
      const providers = resources.filter(({ type }) => type.startsWith("pulumi:"));
      expect(plan.map(({ name }) => name).sort()).toEqual(
        resources
          .filter((resource) => !providers.includes(resource))
          .map(({ name }) => name)
          .sort(),
      );
    } finally {
      await project.remove();
    }
  }, 180_000);
});

describe("a wrong stack file", () => {
  test("ends the preview with every fault, and nothing is planned", async () => {
    const project = await programProject("dev");
    try {
      await project.succeed("config", "set", "--path", "llmops:models[0].replicas.min", "9");
      await project.succeed("config", "set", "--path", "llmops:training.registeredModel", "m");
      const { code, text } = await project.run("preview");
      expect(code).not.toBe(0);
      expect(text).toContain("Pulumi.dev.yaml has 2 faults; nothing was created.");
      expect(text).toContain("pulumi config set --path 'llmops:models[0].replicas.max' '9'");
      expect(text).toContain("pulumi config rm --path 'llmops:training.registeredModel'");
      expect(text).not.toMatch(/\+ .*:(Namespace|Image|Job)/);
    } finally {
      await project.remove();
    }
  }, 120_000);

  test("the command that an error gives mends it", async () => {
    const project = await programProject("dev");
    try {
      await project.succeed("config", "set", "--path", "llmops:modles", "x");
      const broken = await project.run("preview");
      const fix = /mend:\s+pulumi (config rm --path) '([^']+)'/.exec(broken.text);
      expect(fix?.[2]).toBe("llmops:modles");
      await project.succeed("config", "rm", "--path", fix?.[2] ?? "");
      await project.succeed("preview");
    } finally {
      await project.remove();
    }
  }, 180_000);
});
