import { until } from "../../local/cluster/poll.ts";
import { useEngine } from "./support/engine";
import type { Outcome } from "./support/pulumiProject";
import { trainingProgram } from "./support/trainingProgram";

const JOBS = "/apis/batch/v1/namespaces/default/jobs";

/** The component with a run label, at a commit, and something that waits for the Job. */
const program = (run: string, commit?: string): string =>
  trainingProgram({
    training: { run },
    commit,
    after:
      'new k8s.core.v1.ConfigMap("server", { metadata: { name: "server" } }, { dependsOn: [job] });',
  });

const engine = useEngine();

interface Job {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: {
    readonly template: { readonly metadata: { readonly annotations: Record<string, string> } };
  };
}

/** Waits for a Job that is none of `known`, ends it, and gives its uid. */
async function endNewJob(known: readonly string[], how: "Failed" | "Complete"): Promise<string> {
  const { name, uid } = await until("a new Job", 120, async () => {
    const { items } = (await engine.plane.request("GET", JOBS)) as { items: readonly Job[] };
    return items.find(({ metadata }) => !known.includes(metadata.uid))?.metadata;
  });
  const startTime = new Date().toISOString();
  const ended = {
    Failed: { failed: 1, conditions: conditions("FailureTarget", "Failed") },
    Complete: {
      succeeded: 1,
      completionTime: startTime,
      conditions: conditions("SuccessCriteriaMet", "Complete"),
    },
  };
  const status = { startTime, ...ended[how] };
  await engine.plane.request("PATCH", `${JOBS}/${name}/status`, { status });
  return uid;
}

const conditions = (...types: readonly string[]): object[] =>
  types.map((type) => ({ type, status: "True", reason: "Test", message: "exit code 79" }));

test("a failed training Job stays failed, and the error says how to train again, by commands that do", async () => {
  const { project } = engine;
  await project.linkSources();
  const urn = "urn:pulumi:test::test::llmops:index:TrainingJob$kubernetes:batch/v1:Job::train";
  const replace = ["up", "--yes", "--skip-preview", "--replace", urn];
  const fails = async (update: Promise<Outcome>): Promise<void> => {
    const { code, text } = await update;
    expect(code).not.toBe(0);
    expect(text).toContain("the Job failed");
    expect(text).toContain(`pulumi up --replace '${urn}'`);
    expect(text).toContain("pulumi config set --path 'llmops:training.run' '1-again'");
  };
  await project.program(program("1"));
  const first = project.tryUp();
  const failed = await endNewJob([], "Failed");
  await fails(first);
  await fails(project.tryUp());

  const second = project.run(...replace);
  const replaced = await endNewJob([failed], "Failed");
  await fails(second);

  await project.program(program("1-again"));
  const anew = project.up();
  const third = await endNewJob([failed, replaced], "Complete");
  expect((await anew).text).not.toContain("--replace");
  expect(await project.planned()).toEqual({ same: 5 });

  // Gone from the cluster, it is made again as the same run, whose pod finds it complete and ends at once
  // (images/training/tests/test_train.py).
  const jobs = async (): Promise<readonly Job[]> =>
    ((await engine.plane.request("GET", JOBS)) as { items: readonly Job[] }).items;
  const runs = async (): Promise<string[]> => (await jobs()).map(({ metadata }) => metadata.name);
  const [complete = "", ...others] = await runs();
  expect(others).toEqual([]);
  await engine.plane.request("DELETE", `${JOBS}/${complete}`);
  await project.succeed("refresh", "--yes", "--skip-preview");
  const again = project.up();
  const fourth = await endNewJob([failed, replaced, third], "Complete");
  await again;
  expect(await runs()).toEqual([complete]);

  // Another commit alone changes nothing.
  await project.program(program("1-again", "0b"));
  expect(await project.planned()).toEqual({ same: 5 });

  // A new run replaces the Job alone: what waits for it stays. It tells of the commit that made it.
  await project.program(program("2", "0b"));
  const changed = (await project.plan()).filter(({ op }) => op !== "same");
  expect(changed.map(({ op, name }) => `${op} ${name}`)).toEqual(["replace train"]);
  const commits = async (): Promise<unknown[]> =>
    (await jobs()).map((job) => job.spec.template.metadata.annotations["llmops.dev/commit"]);
  expect(await commits()).toEqual(["0a"]);
  const another = project.up();
  await endNewJob([failed, replaced, third, fourth], "Complete");
  await another;
  expect(await commits()).toEqual(["0b"]);
}, 600_000);
