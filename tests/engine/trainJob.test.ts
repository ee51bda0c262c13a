import { trainJobSpec } from "../../workloads/trainJob";
import type { ApiObject } from "./support/controlPlane";
import { useEngine } from "./support/engine";
import { installDefinitions } from "./support/goModule";
import { trainingProgram } from "./support/trainingProgram";

const OBJECTS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/default";
const DEFINITIONS = {
  folder: "kubeflow-trainer",
  module: "github.com/kubeflow/trainer/v2",
  files: ["trainingruntimes", "trainjobs"].map(
    (plural) => `manifests/base/crds/trainer.kubeflow.org_${plural}.yaml`,
  ),
};

const HANDED = { runner: "trainjob", await: false, nodes: 2, queue: "gpu", deepspeed: "zero2" };

/** The component, handed to Kubeflow Trainer. */
const program = (training: object, commit?: string): string =>
  trainingProgram({
    training: { ...HANDED, ...training },
    commit,
    secrets: { WANDB_API_KEY: "wandb-secret-1" },
  });

const engine = useEngine();

async function only(plural: string): Promise<ApiObject> {
  const answer = await engine.plane.request("GET", `${OBJECTS}/${plural}`);
  const items = (answer?.["items"] ?? []) as ApiObject[];
  expect(items).toHaveLength(1);
  return items[0] ?? {};
}

test("Kubeflow Trainer's API takes the run, which nothing changes again, and another pod is another TrainJob", async () => {
  const { project, plane } = engine;
  await installDefinitions(plane, DEFINITIONS);
  await project.linkSources();
  await project.program(program({}));
  await project.up();
  expect(await project.planned()).toEqual({ same: 5 });
  await project.program(program({}, "0b"));
  expect(await project.planned()).toEqual({ same: 5 });

  const runtime = await only("trainingruntimes");
  const { name } = runtime["metadata"] as { name: string };
  expect(runtime["spec"]).toMatchObject({
    mlPolicy: { numNodes: 2 },
    template: {
      spec: {
        replicatedJobs: [
          {
            name: "node",
            // Not set by the program: what the definition says.
            replicas: 1,
            template: {
              metadata: { labels: { "trainer.kubeflow.org/trainjob-ancestor-step": "trainer" } },
              spec: { completions: 2, backoffLimit: 2, podFailurePolicy: { rules: [{}, {}] } },
            },
          },
        ],
      },
    },
  });
  const job = await only("trainjobs");
  expect(job["metadata"]).toMatchObject({
    name: expect.stringMatching(/^llama-factory-train-[0-9a-f]{10}$/) as string,
    labels: { "kueue.x-k8s.io/queue-name": "gpu" },
  });
  expect(job["spec"]).toMatchObject(trainJobSpec(name));

  // The schema is one that refuses: the same object with a field that it does not have.
  const wrong = { ...job, metadata: { name: "wrong" }, spec: { ...trainJobSpec(name), nodes: 2 } };
  const strict = `${OBJECTS}/trainjobs?dryRun=All&fieldValidation=Strict`;
  await expect(plane.request("POST", strict, wrong)).rejects.toThrow(
    /unknown field [^ ]*spec\.nodes/,
  );

  // As a Job is: more memory makes the pods anew, under the id of the same run.
  await project.program(program({ resources: { memory: "64Gi" } }));
  const changed = (await project.plan()).filter(({ op }) => op !== "same");
  expect(changed.map((step) => `${step.op} ${step.name}`).sort()).toEqual([
    "replace llama-factory-train",
    "replace train",
  ]);
  await project.up();
  const again = await only("trainjobs");
  expect(again["metadata"]).toMatchObject({ name: (job["metadata"] as { name: string }).name });
  expect(again["metadata"]).not.toMatchObject({ uid: (job["metadata"] as { uid: string }).uid });
  await only("trainingruntimes");
}, 300_000);
