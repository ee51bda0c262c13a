import * as pulumi from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import { fingerprint } from "./fingerprint";
import type { ModelClaims, ModelPieces } from "./modelPieces";
import { NAMES } from "./names";
import {
  HOME,
  OFFLINE_ENV,
  PRIVATE_ENV,
  containerDefaults,
  gpuCount,
  plainEnv,
  resourceRequirements,
} from "./pod";
import { servedModel } from "./servedRun";
import { SERVERS } from "./servers";
import type { ServerArgs } from "./servers";

/** The server whose compiled code is kept. */
export interface CompilingServer extends ServerArgs {
  readonly accelerator: "cuda" | "cpu";
  readonly image: pulumi.Input<string>;
  readonly claims: ModelClaims;
}

/** Folder of a pod with everything that its server compiles; it outlives the container, not the pod. */
export const CACHE_FOLDER = `${HOME}/.cache`;

/** Name of the pod's volume with {@link CACHE_FOLDER}. */
export const CACHE_VOLUME = "cache";

/** Where the claim that keeps it longer is mounted. */
const KEPT_FOLDER = "/compile-cache";
const KEPT_VOLUME = "compile-cache";

/** Folder of a model on the claim. */
const modelFolder = (model: string): string => `compile-cache/${model}`;

/** What compiled code depends on: the image, the model, its adapters, the options, and the GPUs by kind and number. */
function cacheKey(args: CompilingServer): pulumi.Output<string> {
  const { settings, image, trained, accelerator } = args;
  const { server, source, adapters, resources, placement } = settings;
  return pulumi
    .output({
      image,
      model: servedModel(source, trained).modelPath,
      adapters: adapters.map((each) => servedModel(each.source, trained, each.name).modelPath),
    })
    .apply((made) =>
      fingerprint({
        ...made,
        server,
        options: SERVERS[server].yaml(settings),
        gpus: [gpuCount(resources, accelerator), resources.gpuResource ?? "", placement],
      }),
    );
}

function environment(args: CompilingServer, folder: string): types.input.core.v1.EnvVar[] {
  return [
    ...plainEnv({ LLMOPS_COMPILE_CACHE: folder }),
    { name: "LLMOPS_COMPILE_CACHE_KEY", value: cacheKey(args) },
  ];
}

/** Environment that makes a server keep what it compiles. */
export function keepEnv(args: CompilingServer): types.input.core.v1.EnvVar[] {
  return args.settings.compileCache ? environment(args, KEPT_FOLDER) : [];
}

/**
 * The pieces of a pod that keeps what it compiles: an init container unpacks what is kept, and makes the folder of the
 * model, which is all of the claim that the server itself can see.
 */
export function keptPieces(args: CompilingServer, outputVolume: string): ModelPieces[] {
  const { settings, claims } = args;
  if (!settings.compileCache) return [];
  const { compileCache: claimName } = claims;
  const own = claimName !== undefined;
  const name = own ? KEPT_VOLUME : outputVolume;
  const subPath = modelFolder(settings.name);
  return [
    {
      annotations: {},
      initContainers: [
        {
          ...containerDefaults({ readOnlyRoot: true }),
          name: NAMES.restoreContainer,
          image: args.image,
          args: ["restore"],
          env: [
            ...plainEnv({ ...PRIVATE_ENV, ...OFFLINE_ENV }),
            ...environment(args, `${KEPT_FOLDER}/${subPath}`),
          ],
          resources: resourceRequirements({ ...settings.fetchResources, gpu: 0 }, "cpu"),
          volumeMounts: [
            { name, mountPath: KEPT_FOLDER },
            { name: CACHE_VOLUME, mountPath: CACHE_FOLDER },
          ],
        },
      ],
      mounts: [{ name, mountPath: KEPT_FOLDER, subPath }],
      volumes: own ? [{ name, persistentVolumeClaim: { claimName } }] : [],
      modelOutput: own ? undefined : "written",
    },
  ];
}
