import { containers } from "../objects";
import type { ResourceRule } from "../rule";
import type { Value } from "../values";
import { UNKNOWN, at, entries, isSet } from "../values";

/** Without requests and limits one pod can take the whole node. */
export const resourcesSet: ResourceRule = {
  name: "resources-set",
  description: "Containers request CPU and memory, and have a limit of memory.",
  remedy: "Set resources.requests.cpu, resources.requests.memory and resources.limits.memory.",
  check: (resource) =>
    containers(resource).flatMap(({ name, value }) =>
      [
        ["requests", "cpu"],
        ["requests", "memory"],
        ["limits", "memory"],
      ]
        .filter((path) => !isSet(at(value, "resources", ...path)))
        .map((path) => `Container ${name} has no resources.${path.join(".")}.`),
    ),
};

const isGpu = (resource: string): boolean => /^[\w.-]+\/(gpu|mig-[\w.]+)$/.test(resource);

/** Kubernetes takes no fraction of a device, and a request without a limit reserves one that nobody uses. */
export const gpuRequestIsLimit: ResourceRule = {
  name: "gpu-request-is-limit",
  description: "Containers request exactly as many GPUs as their limit says.",
  remedy: "Set resources.requests and resources.limits of the GPU to the same whole number.",
  check: (resource) =>
    containers(resource).flatMap(({ name, value }) => {
      const requests: Value = at(value, "resources", "requests");
      const limits: Value = at(value, "resources", "limits");
      const devices = [...entries(requests), ...entries(limits)].map(([key]) => key);
      return [...new Set(devices.filter(isGpu))].flatMap((device) => {
        const request: Value = at(requests, device);
        const limit: Value = at(limits, device);
        if (request === UNKNOWN || limit === UNKNOWN) return [];
        const [asked, allowed] = [show(request), show(limit)];
        if (asked === allowed && /^\d+$/.test(asked)) return [];
        return [`Container ${name} requests ${asked} of ${device}, limit ${allowed}.`];
      });
    }),
};

function show(amount: Value): string {
  return typeof amount === "string" || typeof amount === "number" ? String(amount) : "none";
}
