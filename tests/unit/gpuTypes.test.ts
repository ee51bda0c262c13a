import type { GPU_TYPES } from "../../config/gpuTypes";
import { GPU_NAMES, gpuType } from "../../config/gpuTypes";

/** Documentation that each row was taken from. */
const MACHINES = "https://cloud.google.com/compute/docs/accelerator-optimized-machines";
const SOURCES: Record<keyof typeof GPU_TYPES, string> = {
  "nvidia-tesla-t4": "https://cloud.google.com/compute/docs/gpus#t4-gpus",
  "nvidia-l4": `${MACHINES}#g2-vms`,
  "nvidia-rtx-pro-6000": `${MACHINES}#g4-vms`,
  "nvidia-tesla-a100": `${MACHINES}#a2-vms`,
  "nvidia-a100-80gb": `${MACHINES}#a2-vms`,
  "nvidia-h100-80gb": `${MACHINES}#a3-vms`,
  "nvidia-h100-mega-80gb": `${MACHINES}#a3-vms`,
  "nvidia-h200-141gb": `${MACHINES}#a3-vms`,
  "nvidia-b200": `${MACHINES}#a4-vms`,
};

test.each(Object.entries(SOURCES))("%s has a row, from %s", (name) => {
  expect(GPU_NAMES).toContain(name);
});

test.each<[keyof typeof GPU_TYPES, string, readonly number[] | undefined]>([
  ["nvidia-l4", "g2-standard-4", [1]],
  ["nvidia-l4", "g2-standard-24", [2]],
  ["nvidia-l4", "g2-standard-32", [1]],
  ["nvidia-l4", "g2-standard-96", [8]],
  ["nvidia-l4", "a2-highgpu-1g", undefined],
  ["nvidia-tesla-t4", "n1-standard-8", [1, 2, 4]],
  ["nvidia-tesla-t4", "n1-standard-96", [4]],
  ["nvidia-tesla-t4", "n1-highmem-1", undefined],
  ["nvidia-tesla-a100", "a2-megagpu-16g", [16]],
  ["nvidia-a100-80gb", "a2-ultragpu-4g", [4]],
  ["nvidia-h100-80gb", "a3-highgpu-8g", [8]],
  ["nvidia-h100-mega-80gb", "a3-megagpu-8g", [8]],
  ["nvidia-h200-141gb", "a3-ultragpu-8g", [8]],
  ["nvidia-b200", "a4-highgpu-8g", [8]],
  ["nvidia-rtx-pro-6000", "g4-standard-384", [8]],
])("%s on %s: %j GPUs", (gpu, machine, counts) => {
  expect(gpuType(gpu).machines[machine]).toEqual(counts);
});

test("a machine type has one kind of GPU", () => {
  const machines = GPU_NAMES.flatMap((name) => Object.keys(gpuType(name).machines));
  expect(new Set(machines).size).toBe(machines.length);
});

test("every machine that is sold as Spot only is in its row, and every driver fits CUDA 13", () => {
  for (const name of GPU_NAMES) {
    const { spotOnly = [], machines, driver } = gpuType(name);
    for (const machine of spotOnly) expect(machines).toHaveProperty([machine]);
    // R580, which CUDA 13 needs, is newer than GKE's DEFAULT in the STABLE channel:
    // https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/#cuda-driver
    // https://cloud.google.com/kubernetes-engine/docs/how-to/gpus#installing_drivers
    expect(driver).toBe("LATEST");
  }
});
