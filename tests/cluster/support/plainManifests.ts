import { nodeName } from "../../../local/cluster/options.ts";

/** What the plain manifests are filled in with. */
export interface PlainInput {
  readonly namespace: string;
  /** Folder of the node by claim. */
  readonly folders: Readonly<Record<"model-output-pvc" | "training-data-pvc", string>>;
  readonly hubToken: string;
}

function volume(namespace: string, claim: string, path: string): readonly object[] {
  const name = `${namespace}-${claim}`;
  const shared = { accessModes: ["ReadWriteOnce"], storageClassName: "" };
  const match = { key: "kubernetes.io/hostname", operator: "In", values: [nodeName] };
  return [
    {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name },
      spec: {
        ...shared,
        capacity: { storage: "50Gi" },
        persistentVolumeReclaimPolicy: "Retain",
        hostPath: { path },
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [match] }] } },
      },
    },
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: claim, namespace },
      spec: { ...shared, resources: { requests: { storage: "50Gi" } }, volumeName: name },
    },
  ];
}

/** A pod that wants a GPU: here it waits for one, and its claims are in use. */
function pod(container: string, mounts: Readonly<Record<string, string>>): object {
  const gpu = { "nvidia.com/gpu": 1 };
  return {
    containers: [
      {
        name: container,
        image: `registry.example.com/${container}:1.0.0`,
        env: [
          {
            name: "HF_TOKEN",
            valueFrom: { secretKeyRef: { name: "hf-secret", key: "HF_TOKEN" } },
          },
        ],
        resources: { limits: gpu, requests: gpu },
        volumeMounts: Object.entries(mounts).map(([name, mountPath]) => ({ name, mountPath })),
      },
    ],
    volumes: Object.keys(mounts).map((name) => ({
      name,
      persistentVolumeClaim: { claimName: name },
    })),
  };
}

/**
 * A platform of plain manifests, as it was before this program: a namespace without labels, volumes and claims, the
 * Secret of the hub, a training Job, a model server and its autoscaler.
 */
export function plainManifests({ namespace, folders, hubToken }: PlainInput): object {
  const metadata = (name: string): object => ({ name, namespace });
  const labels = { app: "llama-infer" };
  const server = "llama-factory-inference";
  const training = pod("training", {
    "training-data-pvc": "/app/data",
    "model-output-pvc": "/app/output",
  });
  const inference = pod("inference", { "model-output-pvc": "/models" });
  return {
    apiVersion: "v1",
    kind: "List",
    items: [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
      ...Object.entries(folders).flatMap(([claim, path]) => volume(namespace, claim, path)),
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: metadata("hf-secret"),
        stringData: { HF_TOKEN: hubToken },
      },
      {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: metadata("llama-factory-train"),
        spec: { template: { spec: { ...training, restartPolicy: "OnFailure" } } },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: metadata(server),
        spec: {
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: inference },
        },
      },
      {
        apiVersion: "autoscaling/v2",
        kind: "HorizontalPodAutoscaler",
        metadata: metadata("llama-inference-hpa"),
        spec: {
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: server },
          minReplicas: 1,
          maxReplicas: 4,
        },
      },
    ],
  };
}
