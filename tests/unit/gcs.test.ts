import { bucketVolume, serviceAccountAnnotations } from "../../workloads/gcs";
import { modelServerSpec } from "../../workloads/modelServer";
import { trainingPod } from "../../workloads/training";
import type { FusePod } from "../support/gcsFuse";
import { gcsFuseFaults } from "../support/gcsFuse";
import { modelServerArgs, trainingPodArgs } from "../support/podArgs";
import { IDENTITY, REMOTE_SOURCES, settingsOf, sourceTree } from "../support/settings";

const COMMON = { secrets: { GCS_KEY: "gcs-secret-1" }, identity: true };

function serverPod(): FusePod {
  const [settings] = settingsOf(sourceTree(REMOTE_SOURCES.mount)).models;
  if (settings === undefined) throw new Error("the tree has a model");
  const { template } = modelServerSpec(modelServerArgs({}, { ...COMMON, settings }));
  return template as unknown as FusePod;
}

const trainerPod = (): FusePod =>
  trainingPod(trainingPodArgs({ baseModel: REMOTE_SOURCES.mount }, COMMON)) as unknown as FusePod;

describe("a mounted bucket, against the contract of GKE's GCS FUSE CSI driver (tests/support/gcsFuse.ts)", () => {
  test("the pods of a server and of a trainer keep it", () => {
    expect(gcsFuseFaults(serverPod())).toEqual([]);
    expect(gcsFuseFaults(trainerPod())).toEqual([]);
  });

  test("the check sees what breaks it", () => {
    const pod = serverPod();
    const csi = bucketVolume("model-bucket", { uri: "gs://acme-models/a" }).csi as NonNullable<
      FusePod["spec"]["volumes"][number]["csi"]
    >;
    const withCsi = (change: object): FusePod => ({
      ...pod,
      spec: { ...pod.spec, volumes: [{ name: "model-bucket", csi: { ...csi, ...change } }] },
    });
    const options = (mountOptions: string): FusePod =>
      withCsi({ volumeAttributes: { bucketName: "acme-models", mountOptions } });
    expect(gcsFuseFaults({ ...pod, metadata: { annotations: {} } })).toEqual([
      "no annotation, so no sidecar",
    ]);
    expect(gcsFuseFaults({ ...pod, spec: { ...pod.spec, hostNetwork: true } })).toHaveLength(1);
    expect(gcsFuseFaults(withCsi({ readOnly: false }))).toEqual(["model-bucket is not read-only"]);
    expect(gcsFuseFaults(options("implicit-dirs"))).toEqual(["no uid and gid"]);
    expect(gcsFuseFaults(options("implicit-dirs,uid=1,gid=1,key-file=/k"))).toEqual([
      "the driver sets key-file=/k itself",
    ]);
    expect(gcsFuseFaults(options("implicit-dirs,uid=1,gid=1,a b"))).toEqual(["option a b"]);
  });

  test("it lies where the server looks for it, and no claim is mounted for it", () => {
    const { spec } = serverPod();
    const [container] = spec.containers;
    expect(container?.volumeMounts[0]).toEqual({
      name: "model-bucket",
      mountPath: expect.stringMatching(/^\/models\/sources\/base-1b-[0-9a-f]{10}$/),
      readOnly: true,
    });
    expect(spec.volumes.map(({ name }) => name)).toEqual([
      "model-bucket",
      "config",
      "cache",
      "shm",
    ]);
    expect(spec).not.toHaveProperty("initContainers");
  });

  test("only the folder is mounted, with caches for files that never change", () => {
    expect(bucketVolume("b", { uri: "gs://acme-models/base/Base-1B/" })).toEqual({
      name: "b",
      csi: {
        driver: "gcsfuse.csi.storage.gke.io",
        readOnly: true,
        volumeAttributes: {
          bucketName: "acme-models",
          mountOptions:
            "only-dir=base/Base-1B,implicit-dirs,uid=10001,gid=10001,metadata-cache:ttl-secs:-1," +
            "metadata-cache:stat-cache-max-size-mb:-1,metadata-cache:type-cache-max-size-mb:-1," +
            "metadata-cache:negative-ttl-secs:0,file-cache:max-size-mb:-1," +
            "file-cache:cache-file-for-range-read:true,file-cache:enable-parallel-downloads:true," +
            "file-system:kernel-list-cache-ttl-secs:-1",
        },
      },
    });
  });

  test("its driver takes no key file", () => {
    expect(JSON.stringify(serverPod())).not.toContain("gcs-secret");
  });
});

test("each role acts as its own Google service account, MLflow as none", () => {
  const settings = settingsOf(sourceTree(REMOTE_SOURCES.mount, IDENTITY));
  const account = (role: "training" | "inference" | "mlflow") =>
    serviceAccountAnnotations(role, settings);
  expect(account("training")).toEqual({
    "iam.gke.io/gcp-service-account": "train@acme.iam.gserviceaccount.com",
  });
  expect(account("inference")).toEqual({
    "iam.gke.io/gcp-service-account": "serve@acme.iam.gserviceaccount.com",
  });
  expect(account("mlflow")).toEqual({});
  expect(serviceAccountAnnotations("training", {})).toEqual({});
});
