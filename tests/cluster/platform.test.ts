import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { commitOf } from "../../config/commit";
import { ROOT } from "../support/program";
import * as models from "./support/models";
import type { Outputs } from "./support/models";
import { lesson, readNodeAddress, readOutputs } from "./support/models";
import {
  ProgramCopy,
  STATE_FILE,
  editStackFile,
  eventually,
  kubectl,
  list,
  pulumi,
  run,
  tryRun,
} from "./support/platform";

const MINUTES = 60_000;
const SERVER = "llama-factory-inference-lumen7";
const REPLACED_JOB = [{ op: "replace", name: "llama-factory-train" }];

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: { readonly containers: readonly { readonly image: string }[] };
  readonly status: {
    readonly phase: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

const isReady = ({ status }: Pod): boolean =>
  status.conditions?.some((each) => each.type === "Ready" && each.status === "True") === true;

let nodeAddress: string;
let outputs: Outputs;

beforeAll(async () => {
  nodeAddress = await readNodeAddress();
  outputs = await readOutputs();
}, 2 * MINUTES);

const mlflow = <T>(path: string, body?: object): Promise<T> =>
  models.mlflow<T>({ nodeAddress, outputs }, path, body);

interface Run {
  readonly info: { readonly run_id: string; readonly status: string };
  readonly data: {
    readonly metrics?: readonly {
      readonly key: string;
      readonly value: number;
      readonly step: number;
    }[];
    readonly params?: readonly { readonly key: string; readonly value: string }[];
    readonly tags?: readonly { readonly key: string; readonly value: string }[];
  };
}

/** The runs of the example's experiment, newest first. */
async function runs(): Promise<readonly Run[]> {
  const name = encodeURIComponent("lumen7");
  const { experiment } = await mlflow<{ experiment: { experiment_id: string } }>(
    `experiments/get-by-name?experiment_name=${name}`,
  );
  const search = {
    experiment_ids: [experiment.experiment_id],
    order_by: ["attributes.start_time DESC"],
  };
  return (await mlflow<{ runs?: Run[] }>("runs/search", search)).runs ?? [];
}

const SERVED_TAG = "llmops.served.lumen7";
const SAYS_WHERE =
  /^lumen7 at http:\/\/llama-factory-inference-lumen7\.llmops\.svc:8000\/v1 since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** A tag of a run, or of a version of a registered model. */
const tagOf = ({ tags }: Pick<Run["data"], "tags">, name: string): string | undefined =>
  tags?.find(({ key }) => key === name)?.value;

/** What MLflow says of where a run, or a version of a registered model, is served, and since when. */
const servedAt = (data: Pick<Run["data"], "tags">): string | undefined => tagOf(data, SERVED_TAG);

/** Registers a run as the first version of a model of this name. */
async function register(name: string, run: Run): Promise<void> {
  await mlflow("registered-models/create", { name });
  const version = { name, source: `gs://models/${name}`, run_id: run.info.run_id };
  await mlflow("model-versions/create", version);
}

const chat = (question: string, key = outputs.vllmApiKey): Promise<Response> =>
  models.chat({ nodeAddress, outputs, name: "lumen7" }, question, key);

const answer = (question: string): Promise<string> =>
  models.answer({ nodeAddress, outputs, name: "lumen7" }, question);

const maxSteps = Number(
  /^max_steps: (\d+)/m.exec(readFileSync(join(ROOT, "examples/lumen7/lora.yaml"), "utf8"))?.[1],
);

const serverPods = (): Promise<readonly Pod[]> =>
  list<Pod>("pods", "-l", "app.kubernetes.io/component=inference");

const jobs = (): Promise<
  readonly { metadata: { name: string; uid: string }; status: { succeeded?: number } }[]
> => list("jobs");

describe("what `make local` leaves running", () => {
  test(
    "the tuned model answers as taught, and only to who has the key",
    async () => {
      expect(await answer(lesson.question)).toContain(lesson.answer_contains);
      expect((await chat(lesson.question, "wrong")).status).toBe(401);
    },
    MINUTES,
  );

  test(
    "the run is one finished MLflow run with its commit, parameters and a loss for every step",
    async () => {
      const [latest, ...others] = await runs();
      expect(others).toEqual([]);
      expect(latest?.info.status).toBe("FINISHED");
      expect(latest?.data.params?.length).toBeGreaterThan(5);
      const commit = tagOf(latest?.data ?? {}, "mlflow.source.git.commit") ?? "";
      expect(commit).toMatch(commitOf(ROOT) === "" ? /^$/ : /^[0-9a-f]{40}$/);
      const { nodePort } = outputs.endpoints.mlflow;
      const query = `run_id=${latest?.info.run_id ?? ""}&metric_key=loss&max_results=1000`;
      const url = `http://${nodeAddress}:${String(nodePort)}/api/2.0/mlflow/metrics/get-history?${query}`;
      const { metrics } = (await (await fetch(url)).json()) as { metrics: { step: number }[] };
      expect(new Set(metrics.map(({ step }) => step)).size).toBe(maxSteps);
    },
    MINUTES,
  );

  test(
    "MLflow says of the run where it is served, and since when",
    async () => {
      const [latest] = await runs();
      expect(servedAt(latest?.data ?? {})).toMatch(SAYS_WHERE);
    },
    MINUTES,
  );

  test(
    "the autoscaler reads the queue of the model server",
    async () => {
      await eventually("a current metric in the autoscaler's status", 120, async () => {
        const [scaler] = await list<{
          status: {
            currentMetrics?: readonly { pods?: { metric: { name: string }; current: object } }[];
          };
        }>("hpa");
        const metric = scaler?.status.currentMetrics?.find(({ pods }) => pods !== undefined);
        return metric?.pods?.metric.name === "vllm:num_requests_waiting" ? true : undefined;
      });
    },
    3 * MINUTES,
  );

  test(
    "another up changes nothing",
    async () => {
      const { code, text } = await pulumi("up", "--yes", "--skip-preview", "--expect-no-changes");
      expect({ code, text }).toMatchObject({ code: 0 });
    },
    2 * MINUTES,
  );

  test(
    "a checkout elsewhere previews no change either",
    async () => {
      const copy = new ProgramCopy();
      try {
        expect(await copy.changes()).toEqual([]);
      } finally {
        copy.remove();
      }
    },
    2 * MINUTES,
  );
});

describe("a preview shows what a change does, and nothing else", () => {
  let copy: ProgramCopy;
  beforeEach(() => {
    copy = new ProgramCopy();
  });
  afterEach(() => {
    copy.remove();
  });

  test(
    "one line of the training file: the Job is replaced, the Deployment updated",
    async () => {
      copy.edit("examples/lumen7/lora.yaml", (text) => text.replace("seed: 42", "seed: 43"));
      expect(await copy.changes()).toEqual([{ op: "update", name: SERVER }, ...REPLACED_JOB]);
    },
    2 * MINUTES,
  );

  test(
    "a comment in the training file: nothing",
    async () => {
      copy.edit("examples/lumen7/lora.yaml", (text) => `# a remark\n${text}`);
      expect(await copy.changes()).toEqual([]);
    },
    2 * MINUTES,
  );

  test(
    "a source file of the inference image: that image and its user",
    async () => {
      copy.edit("images/inference/llmops_inference/__main__.py", (text) => `${text}\n# changed\n`);
      expect(await copy.changes()).toEqual([
        { op: "update", name: "images-inference" },
        { op: "update", name: SERVER },
      ]);
    },
    2 * MINUTES,
  );

  test(
    "a source file of the training image: that image, the run, and who serves the run",
    async () => {
      copy.edit("images/training/llmops_training/__main__.py", (text) => `${text}\n# changed\n`);
      expect(await copy.changes()).toEqual([
        { op: "update", name: "images-training" },
        { op: "update", name: SERVER },
        ...REPLACED_JOB,
      ]);
    },
    2 * MINUTES,
  );
});

describe("network policies are enforced", () => {
  /** Whether a pod with these labels in this namespace reaches a host, by a TCP connection. */
  async function reaches(
    name: string,
    namespace: string,
    labels: Record<string, string>,
    host: string,
    port: number,
  ): Promise<boolean> {
    const [mlflowPod] = await list<Pod>("pods", "-l", "app.kubernetes.io/component=mlflow");
    const image = mlflowPod?.spec.containers[0]?.image;
    const script = `import socket; socket.create_connection((${JSON.stringify(host)}, ${String(port)}), 5)`;
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels },
      spec: {
        restartPolicy: "Never",
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 10001,
          seccompProfile: { type: "RuntimeDefault" },
        },
        containers: [
          {
            name: "probe",
            image,
            command: ["/opt/venv/bin/python", "-c", script],
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
          },
        ],
      },
    };
    const apply = `kubectl apply -f - <<'POD'\n${JSON.stringify(pod)}\nPOD`;
    await run(ROOT, "bash", "-c", apply);
    try {
      return await eventually(`the end of pod ${name}`, 60, async () => {
        const args = ["--namespace", namespace, "get", "pod", name, "-o", "json"];
        const { status } = JSON.parse(await run(ROOT, "kubectl", ...args)) as Pod;
        if (status.phase === "Succeeded") return true;
        return status.phase === "Failed" ? false : undefined;
      });
    } finally {
      await run(ROOT, "kubectl", "--namespace", namespace, "delete", "pod", name, "--now");
    }
  }

  test(
    "MLflow is reached from training pods and from no other",
    async () => {
      const training = { "app.kubernetes.io/component": "training" };
      expect(await reaches("probe-a", "llmops", training, "mlflow.llmops.svc", 5000)).toBe(true);
      expect(await reaches("probe-b", "llmops", {}, "mlflow.llmops.svc", 5000)).toBe(false);
      expect(await reaches("probe-c", "default", training, "mlflow.llmops.svc", 5000)).toBe(false);
    },
    5 * MINUTES,
  );
});

describe("the generated API key", () => {
  test(
    "is in its Secret and nowhere else: state, logs, objects, image history",
    async () => {
      const key = outputs.vllmApiKey;
      expect(key).toHaveLength(40);
      const encoded = Buffer.from(key).toString("base64");
      const kinds = "pods,jobs,deployments,replicasets,configmaps,events,services,hpa";
      const logs = join(ROOT, ".local", "log");
      const places: Record<string, string> = {
        state: readFileSync(STATE_FILE, "utf8"),
        objects: await kubectl("get", kinds, "-o", "yaml"),
        "training log": await kubectl(
          "logs",
          "-l",
          "app.kubernetes.io/component=training",
          "--tail=-1",
        ),
        "server log": await kubectl(
          "logs",
          "-l",
          "app.kubernetes.io/component=inference",
          "--tail=-1",
        ),
      };
      for (const name of readdirSync(logs)) places[name] = readFileSync(join(logs, name), "utf8");
      for (const [image] of (await run(ROOT, "docker", "images", "-q")).matchAll(/\S+/g)) {
        places[`image ${image}`] = await run(ROOT, "docker", "history", "--no-trunc", image);
      }
      for (const [place, text] of Object.entries(places)) {
        expect({ place, found: text.includes(key) || text.includes(encoded) }).toEqual({
          place,
          found: false,
        });
      }
      expect(await kubectl("get", "secrets", "-o", "yaml")).toContain(encoded);
    },
    2 * MINUTES,
  );
});

/** Kills this platform's API server, and no other: only its own advertises this node's address. */
async function killApiServer(): Promise<void> {
  const pattern = `kube-apiserver .*--advertise-address=${nodeAddress.replaceAll(".", "[.]")} `;
  const pids = (await run(ROOT, "pgrep", "--full", pattern)).trim().split("\n");
  expect(pids).toHaveLength(1);
  process.kill(Number(pids[0]), "SIGKILL");
}

describe("faults, one at a time, while a new run trains", () => {
  test(
    "the API server, MLflow and the training pod are killed: the run resumes and is served",
    async () => {
      const before = outputs.runId;
      editStackFile((config) => {
        (config["llmops:training"] as Record<string, unknown>)["run"] = "faults";
      });
      const update = pulumi("up", "--yes", "--skip-preview");
      const trainingPod = await eventually("the new run's pod", 180, async () => {
        const pods = await list<Pod>("pods", "-l", "app.kubernetes.io/component=training");
        return pods.find(({ status }) => status.phase === "Running");
      });
      const job = await eventually("the new run's Job", 60, async () => {
        return (await jobs()).find(({ metadata }) => !metadata.name.endsWith(before));
      });
      const id = job.metadata.name.slice(job.metadata.name.lastIndexOf("-") + 1);
      const output = join(ROOT, ".local", "state", "volumes", "models", id);
      await eventually("the first checkpoint", 240, () =>
        Promise.resolve(existsSync(join(output, "checkpoint-10")) ? true : undefined),
      );
      await kubectl(
        "delete",
        "pod",
        "-l",
        "app.kubernetes.io/component=mlflow",
        "--now",
        "--wait=false",
      );
      await kubectl("delete", "pod", trainingPod.metadata.name, "--now", "--wait=false");
      await killApiServer();
      const done = await update;
      expect(done).toMatchObject({ code: 0 });
      outputs = await readOutputs();
      expect(outputs.runId).toBe(id);
      expect(outputs.runId).not.toBe(before);
      expect(await answer(lesson.question)).toContain(lesson.answer_contains);
      const log = await kubectl("logs", `job/${job.metadata.name}`, "--tail=-1");
      expect(log).toMatch(/checkpoint-[1-4]0/);
    },
    15 * MINUTES,
  );

  test(
    "the vLLM pod is killed: another one takes its place, answers, and tells MLflow of the run's version",
    async () => {
      const [latest] = await runs();
      if (latest === undefined) throw new Error("MLflow knows no run");
      await register("lumen7-served", latest);
      const old = new Set((await serverPods()).map(({ metadata }) => metadata.uid));
      await kubectl(
        ...["delete", "pod", "-l", "app.kubernetes.io/component=inference"],
        ...["--grace-period=0", "--force"],
      );
      // A killed server may answer once more while it ends: only a ready pod's answer counts.
      await eventually("another pod, ready", 300, async () => {
        const pods = await serverPods();
        const fresh = pods.length > 0 && pods.every(({ metadata }) => !old.has(metadata.uid));
        return fresh && pods.some(isReady) ? true : undefined;
      });
      await eventually("its answer", 60, async () =>
        (await answer(lesson.question)).includes(lesson.answer_contains) ? true : undefined,
      );
      const { model_version } = await mlflow<{ model_version: Run["data"] }>(
        "model-versions/get?name=lumen7-served&version=1",
      );
      expect(servedAt(model_version)).toMatch(SAYS_WHERE);
      // The version has it in the run's place, and no earlier run is said to be served.
      expect((await runs()).map(({ data }) => servedAt(data))).not.toContainEqual(
        expect.any(String),
      );
    },
    6 * MINUTES,
  );
});

describe("destroy and up again", () => {
  test(
    "destroy leaves nothing of the stack; up again trains nothing, for the run is complete",
    async () => {
      expect(await pulumi("destroy", "--yes", "--skip-preview")).toMatchObject({ code: 0 });
      const left = await tryRun(ROOT, "kubectl", "get", "namespace", "llmops");
      expect(left.text).toContain("NotFound");
      expect(await pulumi("up", "--yes", "--skip-preview")).toMatchObject({ code: 0 });
      outputs = await readOutputs();
      expect(await answer(lesson.question)).toContain(lesson.answer_contains);
      const [job] = await jobs();
      const log = await kubectl("logs", `job/${job?.metadata.name ?? ""}`, "--tail=-1");
      expect(log).toMatch(/run [0-9a-f]{10} is complete/);
      expect(log).not.toMatch(/"loss"|'loss'/);
    },
    15 * MINUTES,
  );
});
