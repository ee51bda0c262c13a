import { until } from "../../local/cluster/poll.ts";
import { useEngine } from "../engine/support/engine";

const base = "/apis/apps/v1/namespaces/default/deployments";
const jobs = "/apis/batch/v1/namespaces/default/jobs";

const deployment = (timeout: number) => `
import * as k8s from "@pulumi/kubernetes";
const labels = { app: "slow" };
const container = { name: "slow", image: "slow:1" };
new k8s.apps.v1.Deployment("slow", {
  metadata: { name: "slow" },
  spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } },
}, { customTimeouts: { create: "${timeout}s", update: "60s" } });
`;

const job = `
import * as k8s from "@pulumi/kubernetes";
const annotations = { "pulumi.com/replaceUnready": "true" };
new k8s.batch.v1.Job("work", {
  metadata: { name: "work", annotations },
  spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "work", image: "work:1" }] } } },
});
`;

const rolledOut = (generation: number) => ({
  status: {
    observedGeneration: generation,
    replicas: 1,
    updatedReplicas: 1,
    readyReplicas: 1,
    availableReplicas: 1,
    conditions: [
      { type: "Available", status: "True" },
      { type: "Progressing", status: "True", reason: "NewReplicaSetAvailable" },
    ],
  },
});

const pullFails = {
  containerStatuses: [
    {
      name: "slow",
      image: "slow:1",
      imageID: "",
      ready: false,
      restartCount: 0,
      state: { waiting: { reason: "ImagePullBackOff", message: "no such image" } },
    },
  ],
};

const engine = useEngine();

test("a rollout that fails names the pod's trouble, is kept, and the next update goes on with it", async () => {
  await engine.plane.request("POST", "/api/v1/namespaces/default/pods", {
    metadata: { name: "slow-pod", labels: { app: "slow" } },
    spec: { containers: [{ name: "slow", image: "slow:1" }] },
  });
  await engine.plane.request("PATCH", "/api/v1/namespaces/default/pods/slow-pod/status", {
    status: pullFails,
  });
  await engine.project.program(deployment(3));
  const failed = await engine.project.tryUp();
  expect(failed.code).not.toBe(0);
  expect(failed.text).toContain("not ready after 3 s");
  expect(failed.text).toContain("slow-pod/slow: ImagePullBackOff: no such image");
  expect(await engine.project.planned()).toEqual({ same: 1, update: 1 });

  const goesOn = engine.project.up();
  const generation = await until("the Deployment", 30, async () => {
    const found = await engine.plane.request("GET", `${base}/slow`);
    const metadata = found?.["metadata"] as { generation: number } | undefined;
    return metadata?.generation;
  });
  await engine.plane.request("PATCH", `${base}/slow/status`, rolledOut(generation));
  await goesOn;
  expect(await engine.project.planned()).toEqual({ same: 2 });
  await engine.project.succeed("destroy", "--yes", "--skip-preview");
}, 300_000);

test("a Job that fails stops the update at once and is replaced by the next one", async () => {
  await engine.project.program(job);
  const first = engine.project.tryUp();
  await until("the Job", 60, () => engine.plane.request("GET", `${jobs}/work`));
  const now = new Date().toISOString();
  await engine.plane.request("PATCH", `${jobs}/work/status`, {
    status: {
      startTime: now,
      failed: 1,
      conditions: [
        { type: "FailureTarget", status: "True", reason: "BackoffLimitExceeded" },
        { type: "Failed", status: "True", reason: "BackoffLimitExceeded", message: "too often" },
      ],
    },
  });
  const outcome = await first;
  expect(outcome.code).not.toBe(0);
  expect(outcome.text).toContain("the Job failed: BackoffLimitExceeded: too often");
  expect((await engine.project.plan()).filter(({ op }) => op === "replace")).toHaveLength(1);

  const before = await engine.plane.request("GET", `${jobs}/work`);
  const uid = (object: typeof before) => (object?.["metadata"] as { uid: string } | undefined)?.uid;
  const second = engine.project.up();
  await until("another Job", 60, async () => {
    const found = uid(await engine.plane.request("GET", `${jobs}/work`));
    return found !== undefined && found !== uid(before) ? found : undefined;
  });
  await engine.plane.request("PATCH", `${jobs}/work/status`, {
    status: {
      startTime: now,
      completionTime: now,
      succeeded: 1,
      conditions: [
        { type: "SuccessCriteriaMet", status: "True" },
        { type: "Complete", status: "True" },
      ],
    },
  });
  await second;
  expect(await engine.project.planned()).toEqual({ same: 2 });
  await engine.project.succeed("destroy", "--yes", "--skip-preview");
}, 300_000);
