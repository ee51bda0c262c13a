import { lastProgress, trainingLogArgs } from "../../workloads/trainingProgress";

const job = { namespace: "llmops", name: "llama-factory-train-0123456789", container: "training" };

test("the log is asked for in the cluster of the stack, and in no other", () => {
  expect(trainingLogArgs({ context: "dev" }, job).join(" ")).toBe(
    "--context dev --namespace llmops logs job/llama-factory-train-0123456789 --container training " +
      "--tail 500 --request-timeout 5s --pod-running-timeout 1s",
  );
  expect(trainingLogArgs({ context: "dev", kubeconfig: "/etc/kube" }, job).slice(0, 4)).toEqual([
    "--kubeconfig",
    "/etc/kube",
    "--context",
    "dev",
  ]);
});

test("the last line that tells of a step is the progress", () => {
  const log = [
    "2026-01-01 00:00:00 INFO step 3 of 40, loss 1.25, 0:00:50 left",
    "{'loss': 1.1, 'epoch': 0.2}",
    "2026-01-01 00:00:30 INFO step 28 of 40, loss 0.1779, 0:00:21 left",
    "saving model checkpoint",
  ];
  expect(lastProgress(log.join("\n"))).toBe("step 28 of 40, loss 0.1779, 0:00:21 left");
});

test.each(["", "loading the model\nstep by step"])("no step is no progress: %j", (log) => {
  expect(lastProgress(log)).toBeUndefined();
});
