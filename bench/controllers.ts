import { setTimeout as pause } from "node:timers/promises";

import type { ApiObject, ControlPlane } from "../tests/engine/support/controlPlane.ts";

interface Item {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly generation: number;
  };
  readonly spec: { readonly replicas?: number };
  readonly status: { readonly observedGeneration?: number; readonly startTime?: string };
}

const now = "2026-01-01T00:00:00Z";
const rolledOut = ({ metadata, spec: { replicas = 1 } }: Item): ApiObject => ({
  observedGeneration: metadata.generation,
  replicas,
  updatedReplicas: replicas,
  readyReplicas: replicas,
  availableReplicas: replicas,
});

/** What the controller of a kind would write once all pods have done what they are for. */
const STATUS: Readonly<Record<string, (item: Item) => ApiObject>> = {
  "apps/v1/deployments": (item) => ({
    ...rolledOut(item),
    conditions: [
      { type: "Available", status: "True" },
      { type: "Progressing", status: "True", reason: "NewReplicaSetAvailable" },
    ],
  }),
  "apps/v1/statefulsets": (item) => ({
    ...rolledOut(item),
    currentRevision: "1",
    updateRevision: "1",
  }),
  "batch/v1/jobs": () => ({
    startTime: now,
    completionTime: now,
    succeeded: 1,
    conditions: [
      { type: "SuccessCriteriaMet", status: "True" },
      { type: "Complete", status: "True" },
    ],
  }),
};

/** Plays the controllers that run pods, so that an update waits for none, until the signal fires. */
export async function playControllers(plane: ControlPlane, signal: AbortSignal): Promise<void> {
  const served = new Set<string>();
  while (!signal.aborted) {
    for (const [kind, status] of Object.entries(STATUS)) {
      for (const item of await list(plane, `/apis/${kind}`)) {
        const { name, namespace, generation } = item.metadata;
        const { observedGeneration, startTime } = item.status;
        if (observedGeneration === generation || startTime !== undefined) continue;
        const [group = "", version = "", plural = ""] = kind.split("/");
        const path = `/apis/${group}/${version}/namespaces/${namespace}/${plural}/${name}/status`;
        await plane.request("PATCH", path, { status: status(item) });
      }
    }
    for (const { metadata } of await list(plane, "/api/v1/services")) {
      const { name, namespace } = metadata;
      if (served.has(`${namespace}/${name}`)) continue;
      served.add(`${namespace}/${name}`);
      await plane.request(
        "POST",
        `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
        {
          metadata: { name, labels: { "kubernetes.io/service-name": name } },
          addressType: "IPv4",
          endpoints: [{ addresses: ["10.0.0.1"], conditions: { ready: true } }],
        },
      );
    }
    await pause(100);
  }
}

async function list(plane: ControlPlane, path: string): Promise<readonly Item[]> {
  const answer = await plane.request("GET", path);
  return (answer as { readonly items: readonly Item[] } | undefined)?.items ?? [];
}
