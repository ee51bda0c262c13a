/** What is known of a GPU that Google Cloud rents out. */
export interface GpuType {
  /** Numbers of GPUs that a machine of a type can have. Accelerator-optimized machines have one. */
  readonly machines: Readonly<Record<string, readonly number[]>>;
  /** Machine types that are not sold on demand, only as Spot. */
  readonly spotOnly?: readonly string[];
  /** Memory of one GPU. */
  readonly memoryGB: number;
  /** Which driver GKE installs on the nodes. The images hold CUDA 13, which needs R580 or later. */
  readonly driver: "LATEST";
}

const N1_VCPUS = [1, 2, 4, 8, 16, 32] as const;
const n1 = (sizes: readonly number[], counts: readonly number[]) =>
  Object.fromEntries(
    ["standard", "highmem", "highcpu"].flatMap((kind) =>
      sizes
        .filter((size) => size > 1 || kind === "standard")
        .map((size) => [`n1-${kind}-${String(size)}`, counts]),
    ),
  );

/** GPUs by the name that Google gives them, as far as the images' CUDA supports them. */
export const GPU_TYPES = {
  "nvidia-tesla-t4": {
    machines: { ...n1(N1_VCPUS, [1, 2, 4]), ...n1([64, 96], [4]) },
    memoryGB: 16,
    driver: "LATEST",
  },
  "nvidia-l4": {
    machines: {
      "g2-standard-4": [1],
      "g2-standard-8": [1],
      "g2-standard-12": [1],
      "g2-standard-16": [1],
      "g2-standard-24": [2],
      "g2-standard-32": [1],
      "g2-standard-48": [4],
      "g2-standard-96": [8],
    },
    memoryGB: 24,
    driver: "LATEST",
  },
  "nvidia-rtx-pro-6000": {
    machines: {
      "g4-standard-48": [1],
      "g4-standard-96": [2],
      "g4-standard-192": [4],
      "g4-standard-384": [8],
    },
    memoryGB: 96,
    driver: "LATEST",
  },
  "nvidia-tesla-a100": {
    machines: {
      "a2-highgpu-1g": [1],
      "a2-highgpu-2g": [2],
      "a2-highgpu-4g": [4],
      "a2-highgpu-8g": [8],
      "a2-megagpu-16g": [16],
    },
    memoryGB: 40,
    driver: "LATEST",
  },
  "nvidia-a100-80gb": {
    machines: {
      "a2-ultragpu-1g": [1],
      "a2-ultragpu-2g": [2],
      "a2-ultragpu-4g": [4],
      "a2-ultragpu-8g": [8],
    },
    memoryGB: 80,
    driver: "LATEST",
  },
  "nvidia-h100-80gb": {
    machines: {
      "a3-highgpu-1g": [1],
      "a3-highgpu-2g": [2],
      "a3-highgpu-4g": [4],
      "a3-highgpu-8g": [8],
      "a3-edgegpu-8g": [8],
    },
    spotOnly: ["a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g"],
    memoryGB: 80,
    driver: "LATEST",
  },
  "nvidia-h100-mega-80gb": {
    machines: { "a3-megagpu-8g": [8] },
    memoryGB: 80,
    driver: "LATEST",
  },
  "nvidia-h200-141gb": {
    machines: { "a3-ultragpu-8g": [8] },
    memoryGB: 141,
    driver: "LATEST",
  },
  "nvidia-b200": { machines: { "a4-highgpu-8g": [8] }, memoryGB: 180, driver: "LATEST" },
} as const satisfies Record<string, GpuType>;

/** Name of a GPU. */
export type GpuName = keyof typeof GPU_TYPES;

/** Names of all GPUs of the table. */
export const GPU_NAMES = Object.keys(GPU_TYPES).filter((name): name is GpuName =>
  Object.hasOwn(GPU_TYPES, name),
);

/** The row of a GPU. */
export function gpuType(name: GpuName): GpuType {
  return GPU_TYPES[name];
}
