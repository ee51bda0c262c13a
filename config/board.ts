import { z } from "zod";
import { cidr, dnsLabel, placement, resources, service } from "./primitives";

/**
 * LLaMA Board, the web interface of LLaMA-Factory. Who logs in can run training and read the volumes,
 * so who may reach the login is named too.
 */
export const boardSchema = z
  .strictObject({
    enabled: z.boolean().default(false),
    /** Who may reach it besides `kubectl port-forward`. */
    clients: z
      .strictObject({
        /** Namespaces whose pods may, such as that of a proxy which adds TLS. */
        namespaces: z.array(dnsLabel()).default([]),
        /** Address ranges outside of the cluster that may. */
        cidrs: z.array(cidr).default([]),
      })
      .prefault({}),
    resources: resources({ cpu: "2", memory: "16Gi", shm: "2Gi" }),
    placement,
    service,
  })
  .prefault({});

export type BoardSettings = z.infer<typeof boardSchema>;
