import { z } from "zod";
import { dnsLabel, placement, quantity, service } from "./primitives";

const ingress = z.strictObject({
  /** Host name that clients use, such as `llm.example.com`. */
  host: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/, {
      error: "a host name in lower case, such as llm.example.com",
    }),
  /** IngressClass. @default the cluster's default class */
  className: dnsLabel(253).optional(),
  /** Name of an existing Secret of type kubernetes.io/tls. @default plain HTTP */
  tlsSecret: dnsLabel(253).optional(),
  /** Annotations for the ingress controller, such as its limits of body size and time. */
  annotations: z.record(z.string(), z.string()).default({}),
});

/** One OpenAI-compatible address for all models. */
export const frontDoorSchema = z
  .strictObject({
    /** `true`: build and run it. */
    enabled: z.boolean().default(false),
    /** Pods; from two on, one at a time may be taken away. */
    replicas: z.int().min(1).max(20).default(2),
    /** Largest request body in MiB; a larger one is answered with 413. Reading one may take 100 times its size. */
    maxBodyMiB: z.int().min(1).max(64).default(8),
    resources: z
      .strictObject({
        /** CPU request. */
        cpu: quantity.default("250m"),
        /** CPU limit; left out, the container may use idle CPU. */
        cpuLimit: quantity.optional(),
        /** Memory request and limit. */
        memory: quantity.default("1Gi"),
      })
      .prefault({}),
    placement,
    service,
    /** Makes it reachable from outside of the cluster by an ingress controller. @default none */
    ingress: ingress.optional(),
  })
  .prefault({});

/** The front door's part of the settings. */
export type FrontDoorSettings = z.infer<typeof frontDoorSchema>;
