import { z } from "zod";

/** A Kubernetes quantity, such as `500m`, `4`, `16Gi`. Source: apimachinery `resource.Quantity`. */
export const quantity = z.string().regex(/^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/, {
  error: 'a Kubernetes quantity, such as "500m", "4" or "16Gi"',
});

/** A DNS label of at most `max` characters, as Kubernetes asks of most names. */
export const dnsLabel = (max = 63): z.ZodString =>
  z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, {
      error: "lower-case letters, digits and '-', starting and ending with a letter or digit",
    })
    .max(max, {
      error: `at most ${String(max)} characters, since Kubernetes names are limited to 63`,
    });

/** An absolute path on a node or in a container, without `..`. */
export const absolutePath = z.string().regex(/^\/(?!.*(^|\/)\.\.(\/|$))[^\s:]+$/, {
  error: "an absolute path without '..'",
});

/** An IPv4 address range, such as `10.0.0.0/8`. */
export const cidr = z.cidrv4({ error: "an address range, such as 10.0.0.0/8" });

/** A path below some folder: relative, without `..`. */
export const relativePath = z.string().regex(/^(?!\/)(?!.*(^|\/)\.\.(\/|$))[^\s:]+$/, {
  error: "a relative path without '..'",
});

/** A URL that carries no user name or password. */
export const plainUrl = z.string().regex(/^https?:\/\/[^\s/@]+(\/[^\s@]*)?$/, {
  error: "an http(s) URL without credentials, which images and arguments would show",
});

/** A folder of a bucket. Mount options are separated by commas, so it has none. */
export const bucketFolder = z
  .string()
  .regex(/^gs:\/\/[a-z0-9][a-z0-9._-]*\/(?!.*(^|\/)\.\.(\/|$))[^\s,/][^\s,]*$/, {
    error: "gs://bucket/folder, without commas and '..'",
  });

/** An image reference pinned by digest or by a tag other than `latest`. */
export const pinnedImage = z
  .string()
  .regex(
    /^(?!.*:latest(@|$))[^\s@]+(:[\w][\w.-]{0,127}(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$/,
    {
      error: "an image pinned by digest, or by a tag other than latest",
    },
  );

/** An image reference pinned by digest. */
export const digestImage = z.string().regex(/^[^\s@]+@sha256:[0-9a-f]{64}$/, {
  error: "an image pinned by digest: name@sha256:<64 hex digits>",
});

/** CPU, memory and GPUs of a container. */
export const resources = (defaults: { cpu: string; memory: string; shm?: string }) =>
  z
    .strictObject({
      /** CPU request. */
      cpu: quantity.default(defaults.cpu),
      /** CPU limit; left out, the container may use idle CPU. */
      cpuLimit: quantity.optional(),
      /** Memory request and limit. */
      memory: quantity.default(defaults.memory),
      /** Number of GPUs. @default 1 with accelerator cuda, 0 with cpu */
      gpu: z.int().min(0).max(16).optional(),
      /** What the cluster counts as a GPU: a whole one, or a MIG slice. @default nvidia.com/gpu */
      gpuResource: z
        .string()
        .regex(/^nvidia\.com\/(gpu|mig-[1-7]g\.[0-9]+gb(\.me)?)(\.shared)?$/, {
          error: "nvidia.com/gpu, or a MIG slice such as nvidia.com/mig-1g.10gb",
        })
        .optional(),
      /** Size of /dev/shm; counts against the memory limit. */
      shm: quantity.default(defaults.shm ?? "64Mi"),
    })
    .prefault({});

/** CPU and memory of the init container that downloads a model. It needs no GPU. */
export const fetchResources = z
  .strictObject({
    /** CPU request. */
    cpu: quantity.default("1"),
    /** CPU limit; left out, the container may use idle CPU. */
    cpuLimit: quantity.optional(),
    /** Memory request and limit. */
    memory: quantity.default("1Gi"),
  })
  .prefault({});

/** How a Service is reached. */
export const service = z
  .strictObject({
    type: z.enum(["ClusterIP", "NodePort", "LoadBalancer"]).default("ClusterIP"),
    /** Fixed port on every node; only with `type: NodePort`. */
    nodePort: z.int().min(30000).max(32767).optional(),
  })
  .prefault({});

/** Where pods may run. */
export const placement = z
  .strictObject({
    nodeSelector: z.record(z.string(), z.string()).default({}),
    tolerations: z
      .array(
        z.strictObject({
          key: z.string().optional(),
          operator: z.enum(["Exists", "Equal"]).default("Equal"),
          value: z.string().optional(),
          effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
        }),
      )
      .default([]),
    /** PriorityClass of the cluster; pods of a higher one may push others off a full node. */
    priorityClassName: dnsLabel(253).optional(),
  })
  .prefault({});
