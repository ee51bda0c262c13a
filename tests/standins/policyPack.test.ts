import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PulumiProject } from "../engine/support/pulumiProject";
import { ROOT } from "../support/program";

const PACK = ["--policy-pack", join(ROOT, "policy")];

/** A Job in a namespace of its own, rendered to files: nothing but the engine and the stand-ins is needed. */
function program(container: string): string {
  return `
import * as k8s from "@pulumi/kubernetes";
const provider = new k8s.Provider("files", { renderYamlToDirectory: "rendered" });
const opts = { provider };
const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
new k8s.core.v1.Namespace("ns", { metadata: { name: "ns", labels } }, opts);
new k8s.networking.v1.NetworkPolicy("deny", {
  metadata: { name: "deny", namespace: "ns" },
  spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"] },
}, opts);
new k8s.core.v1.Secret("key", { metadata: { name: "key", namespace: "ns" }, stringData: { KEY: "planted-value" } }, opts);
new k8s.batch.v1.Job("job", {
  metadata: { name: "job", namespace: "ns" },
  spec: { template: { spec: {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } },
    containers: [{
      name: "main",
      image: "registry.llmops.local:5000/one@sha256:${"0".repeat(64)}",
      resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { memory: "1Gi" } },
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      ${container}
    }],
  } } },
}, opts);
`;
}

let project: PulumiProject;
beforeEach(async () => {
  project = await PulumiProject.create();
}, 60_000);
afterEach(() => project.remove());

test("the engine runs the policy pack, and lets a program pass that keeps to it", async () => {
  await project.program(program(`args: ["run"]`));
  const { text } = await project.succeed("preview", ...PACK);
  expect(text).toMatch(/✅ llmops@v0\.1\.0/);
}, 60_000);

test("a preview of what the policies forbid fails, with their names and what to do", async () => {
  await project.program(
    program(`args: ["planted-value"], env: [{ name: "HUB_TOKEN", value: "something" }]`),
  );
  const { code, text } = await project.run("preview", ...PACK);
  expect(code).not.toBe(0);
  expect(text).toMatch(/❌ llmops@v0\.1\.0/);
  expect(text).toMatch(/\[mandatory\]\s+no-plain-secret\s+\(kubernetes:batch\/v1:Job: job\)/);
  expect(text).toContain("Container main has the variable HUB_TOKEN in plain text.");
  expect(text).toContain("What to do: Set it with pulumi config set --secret");
  expect(text).toMatch(
    /\[mandatory\]\s+secrets-stay-in-secrets\s+\(kubernetes:batch\/v1:Job: job\)/,
  );
  expect(text).toContain("It holds the value of KEY.");
}, 60_000);

test("its settings are given by --policy-pack-config", async () => {
  await project.program(program(""));
  const config = join(project.folder, "policies.json");
  await writeFile(config, JSON.stringify({ "image-registry": { allowed: ["other.example"] } }));
  const { code, text } = await project.run("preview", ...PACK, "--policy-pack-config", config);
  expect(code).not.toBe(0);
  expect(text).toContain("of none of: other.example.");
}, 60_000);
