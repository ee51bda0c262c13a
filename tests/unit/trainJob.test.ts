import { trainingFaults } from "../../config/trainingRules";
import { trainJobSpec, trainingRuntimeSpec } from "../../workloads/trainJob";
import { trainingJobSpec } from "../../workloads/trainingJob";
import { needsNodesService } from "../../workloads/trainingNodes";
import { runId } from "../../workloads/trainingRun";
import { trainingPodArgs } from "../support/podArgs";
import { settingsOf, trainingTree } from "../support/settings";

function tree(change: object) {
  const models = [{ name: "tuned", source: { kind: "training" }, surge: true }];
  return settingsOf(trainingTree(change, { models }));
}

const HANDED = { runner: "trainjob", await: false };

interface Pod {
  readonly spec: {
    readonly subdomain?: string;
    readonly containers: readonly { name: string; env: { name: string; value?: string }[] }[];
  };
}

/** Fields of the pods that differ between a Job and a TrainJob. */
function pods(change: object) {
  const { template } = trainingJobSpec(trainingPodArgs(change)) as unknown as { template: Pod };
  const [container] = template.spec.containers;
  const env = Object.fromEntries(container?.env.map(({ name, value }) => [name, value]) ?? []);
  return { ...template.spec, container: container?.name, env };
}

test("the runtime holds the Job as it is, under the names that Kubeflow Trainer looks for", () => {
  const given = trainingPodArgs({ ...HANDED, nodes: 2, backoffLimit: 3, timeoutMinutes: 10 });
  const job = trainingJobSpec(given);
  expect(job).toMatchObject({ backoffLimit: 6, activeDeadlineSeconds: 600 });
  expect(trainingRuntimeSpec(given)).toEqual({
    mlPolicy: { numNodes: 2 },
    template: {
      spec: {
        replicatedJobs: [
          {
            name: "node",
            template: {
              metadata: { labels: { "trainer.kubeflow.org/trainjob-ancestor-step": "trainer" } },
              spec: job,
            },
          },
        ],
      },
    },
  });
  expect(trainJobSpec("runtime-1")).toEqual({
    runtimeRef: { apiGroup: "trainer.kubeflow.org", kind: "TrainingRuntime", name: "runtime-1" },
  });
});

test("the pods find each other by the Service of the JobSet, and torchrun is LLaMA-Factory's", () => {
  const { container, env, subdomain } = pods({ ...HANDED, nodes: 2 });
  expect(container).toBe("node");
  expect(subdomain).toBeUndefined();
  expect(needsNodesService({ nodes: 2, runner: "trainjob" })).toBe(false);
  expect(env).toMatchObject({
    FORCE_TORCHRUN: "1",
    NNODES: "2",
    MASTER_ADDR: "llama-factory-train-0123456789-node-0-0.llama-factory-train-0123456789",
    LLMOPS_NODE_ADDRESS:
      "llama-factory-train-0123456789-node-0-{rank}.llama-factory-train-0123456789",
  });
  expect(Object.keys(env).filter((name) => name.startsWith("PET_"))).toEqual([]);
});

test("how a pod ends counts as it does in a Job: the rules name its container", () => {
  const rules = ({ podFailurePolicy }: ReturnType<typeof trainingJobSpec>) =>
    JSON.stringify(podFailurePolicy);
  const publish = { kind: "artifactory", target: "runs" };
  expect(rules(trainingJobSpec(trainingPodArgs({ ...HANDED, publish })))).toBe(
    rules(trainingJobSpec(trainingPodArgs({ publish }))).replaceAll('"training"', '"node"'),
  );
});

test("who runs it is no part of a run: its result stays what it is", () => {
  const id = (change: object) =>
    runId({
      config: {},
      data: {},
      settings: trainingPodArgs(change).files.settings,
      image: "i@sha256:0",
    });
  expect(id(HANDED)).toBe(id({}));
});

test("a TrainJob that Pulumi would wait for is refused, since it could not see it fail", () => {
  expect(trainingFaults(tree({ runner: "trainjob" }))).toEqual([
    {
      key: "training.await",
      got: 'true, with training.runner "trainjob"',
      allowed: "false: Pulumi would not see that a TrainJob has failed",
      fix: "pulumi config set --path 'llmops:training.await' 'false'",
    },
  ]);
  expect(trainingFaults(tree(HANDED))).toEqual([]);
});
