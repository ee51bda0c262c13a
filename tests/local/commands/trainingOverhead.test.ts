import { overheadRow, renderRow } from "../../../local/commands/bench";
import { bareScript, copyOf, secondsOf } from "../../../local/commands/trainingOverhead";

const job = {
  metadata: { name: "llama-factory-train-0123456789", namespace: "llmops" },
  spec: {
    template: {
      metadata: {
        annotations: {
          "llmops.dev/train-config":
            "stage: sft\noutput_dir: /app/output/tuned/0123456789\nrun_name: 0123456789\n",
        },
      },
      spec: {
        restartPolicy: "Never",
        containers: [
          {
            name: "training",
            args: ["train", "/app/config/train_config.yaml"],
            env: [
              { name: "RUN_ID", value: "0123456789" },
              { name: "LLMOPS_GATE", value: "/app/config/gate.json" },
              { name: "MLFLOW_EXPERIMENT_NAME", value: "lumen7" },
              { name: "LLMOPS_MERGE", value: "true" },
            ],
          },
        ],
      },
    },
  },
};

const labels = { "app.kubernetes.io/component": "training", "llmops.dev/bench": "true" };

describe("the overhead of the platform around a training", () => {
  const env = [
    { name: "RUN_ID", value: "bench-1" },
    { name: "MLFLOW_EXPERIMENT_NAME", value: "bench" },
    { name: "LLMOPS_MERGE", value: "true" },
  ];

  test("the same training runs under another id, without the gate", () => {
    const args = ["train", "/app/config/train_config.yaml"];
    expect(copyOf(job, "bench-1")).toEqual({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "bench-1", namespace: "llmops", labels },
      spec: {
        backoffLimit: 0,
        template: {
          metadata: {
            labels,
            annotations: {
              "llmops.dev/train-config":
                "stage: sft\noutput_dir: /app/output/tuned/bench-1\nrun_name: bench-1\n",
            },
          },
          spec: { restartPolicy: "Never", containers: [{ name: "training", args, env }] },
        },
      },
    });
  });

  test("LLaMA-Factory's own commands run in the same container, on the files of the Job", () => {
    const script = bareScript("/app/output", "bench-job-1", "bench-1");
    expect(script).toBe(
      "llamafactory-cli train /app/config/train_config.yaml\n" +
        "sed 's/bench-job-1/bench-1/g' /app/output/bench-job-1/merge_config.yaml > /tmp/merge.yaml\n" +
        "llamafactory-cli export /tmp/merge.yaml",
    );
    expect(copyOf(job, "bench-1", script)).toMatchObject({
      spec: {
        template: {
          spec: {
            containers: [{ name: "training", command: ["bash", "-ec", script], args: [], env }],
          },
        },
      },
    });
  });

  test("a Job without a training file is refused", () => {
    const template = { ...job.spec.template, metadata: { annotations: {} } };
    expect(() => copyOf({ ...job, spec: { template } }, "bench-1")).toThrow(
      "llama-factory-train-0123456789 has no training file",
    );
  });

  const pods = (...status: object[]): string =>
    JSON.stringify({ items: status.map((each) => ({ status: each })) });

  test("the time is that of the container, once the pod has succeeded", () => {
    const terminated = { startedAt: "2026-01-01T00:00:58Z", finishedAt: "2026-01-01T00:02:01Z" };
    const containerStatuses = [{ state: { terminated } }];
    expect(secondsOf(pods())).toBeUndefined();
    expect(secondsOf(pods({ phase: "Running", containerStatuses: [{ state: {} }] }))).toBe(
      undefined,
    );
    expect(secondsOf(pods({ phase: "Succeeded", containerStatuses }))).toBe(63);
    expect(() => secondsOf(pods({ phase: "Failed", containerStatuses }))).toThrow(
      "the training failed",
    );
  });

  test.each([
    [92, "1.05", "ok"],
    [93, "1.06", "short"],
  ])("at most 1.05 of the bare time is asked for: %d s is %s", (seconds, ratio, verdict) => {
    expect(renderRow(overheadRow({ job: seconds, bare: 88 }))).toBe(
      `| training Job to complete model | ${String(seconds)}.0 s | ` +
        `bare train and export, 88.0 s | ${ratio} | ≤ 1.05 times | ${verdict} |`,
    );
  });
});
