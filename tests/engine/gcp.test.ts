import { PulumiProject } from "./support/pulumiProject";

/** Everything on Google Cloud that no committed stack has, under the engine and the plugin that only plans. */
const program = `
import { Foundation } from "./components/foundation";
import { gkeTree, settingsOf } from "./tests/support/settings";
import { googlePlace } from "./workloads/gcp";
const tree = gkeTree({
  gpuPools: [],
  autoProvisioning: { cpu: 128, memoryGB: 512, gpus: [{ gpu: "nvidia-l4", max: 8 }] },
});
const settings = settingsOf({
  ...tree,
  gcp: {
    ...tree["gcp"] as object,
    createServiceAccounts: true,
    workloadIdentity: { secrets: "llmops-secrets@acme-ml.iam.gserviceaccount.com" },
    secretManager: { HF_TOKEN: { secret: "hub", version: 1 }, WANDB_API_KEY: { secret: "wandb", version: 2 } },
  },
});
const place = googlePlace(settings);
if (place === undefined) throw new Error("the tree makes something");
new Foundation("gcp", { place, settings, secrets: {} });
`;

test("auto-provisioning and the rights on secrets are planned, and Google Cloud is not asked", async () => {
  const project = await PulumiProject.create();
  try {
    await project.linkSources();
    await project.program(program);
    const plan = await project.plan();
    expect(new Set(plan.map(({ op }) => op))).toEqual(new Set(["create"]));
    const names = plan.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        "gcp-cluster-control-plane",
        "gcp-accounts-secrets",
        "gcp-accounts-secrets-identity",
        "gcp-accounts-secrets-hub",
        "gcp-accounts-secrets-wandb",
      ]),
    );
    expect(names).not.toContain("gcp-cluster-l4");
    const { code, text } = await project.tryUp();
    expect(code).not.toBe(0);
    expect(text).toContain("the gcp stand-in only plans and cannot create");
  } finally {
    await project.remove();
  }
}, 180_000);
