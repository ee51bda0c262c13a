import { z } from "zod";
import { boardSchema } from "./board";
import { frontDoorSchema } from "./frontDoor";
import { gcpSchema } from "./gcp";
import { imagesSchema } from "./images";
import { mlflowSchema } from "./mlflow";
import { modelSchema } from "./models";
import { monitoringSchema } from "./monitoring";
import { cidr, dnsLabel } from "./primitives";
import { storageSchema } from "./storage";
import { tracingSchema } from "./tracing";
import { trainingSchema } from "./training";

const networkSchema = z
  .strictObject({
    /** Namespaces whose pods may call the model servers and MLflow. */
    clientNamespaces: z.array(dnsLabel()).default([]),
    /** Address ranges outside of the cluster that may call them, where their Services are open to them. */
    clientCidrs: z.array(cidr).default([]),
    /** Namespace whose pods may scrape metrics. */
    monitoringNamespace: dnsLabel().default("monitoring"),
    /**
     * Where pods that download or publish models may connect to.
     * @default every public IPv4 address, on port 443
     */
    egress: z
      .array(
        z.strictObject({
          cidr,
          /** TCP ports. */
          ports: z.array(z.int().min(1).max(65_535)).min(1).default([443]),
        }),
      )
      .optional(),
  })
  .prefault({});

/** The whole settings tree of a stack, `llmops:*` in its Pulumi.<stack>.yaml. Secrets are apart. */
export const settingsSchema = z.strictObject({
  /** The cluster; its context is always named, so nothing reaches another one by accident. */
  cluster: z.strictObject({
    /** Context of the kubeconfig. */
    context: z.string().min(1),
    /** Path of the kubeconfig. @default KUBECONFIG, then ~/.kube/config */
    kubeconfig: z.string().min(1).optional(),
    /** `existing` uses the context; `gke` creates the cluster too. */
    kind: z.enum(["existing", "gke"]).default("existing"),
  }),
  namespace: dnsLabel().default("llmops"),
  /** `true`: the namespace is there already, and the stack takes it over as it is, by `import`. */
  adoptNamespace: z.boolean().default(false),
  images: imagesSchema,
  storage: storageSchema,
  training: trainingSchema.optional(),
  models: z.array(modelSchema).min(1, { error: "at least one model" }),
  mlflow: mlflowSchema,
  /** One OpenAI-compatible address for all models: docs/front-door.md. */
  frontDoor: frontDoorSchema,
  network: networkSchema,
  board: boardSchema,
  monitoring: monitoringSchema,
  /** A span for each request, from the model servers and the front door: docs/monitoring.md. @default none */
  tracing: tracingSchema.optional(),
  gcp: gcpSchema.optional(),
});

export type Settings = z.infer<typeof settingsSchema>;
export type ImagesSettings = Settings["images"];
