import type { Settings } from "../config/schema";
import { boardUrl } from "./board";
import { trackingUri } from "./mlflow";
import { PORTS, modelServerName } from "./names";

/** How a Service is reached. */
export interface Endpoint {
  /** URL inside the cluster. */
  readonly url: string;
  /** Port on every node, with a Service of type NodePort. */
  readonly nodePort?: number;
}

const withNodePort = (url: string, nodePort: number | undefined): Endpoint =>
  nodePort === undefined ? { url } : { url, nodePort };

/** The endpoints that `pulumi up` ends with: MLflow's, LLaMA Board's, and each model's by its name. */
export function endpoints(settings: Settings): {
  readonly mlflow: Endpoint;
  readonly board?: Endpoint;
  readonly models: Readonly<Record<string, Endpoint & { readonly model: string }>>;
} {
  const { namespace, mlflow, models, board } = settings;
  const modelUrl = (name: string): string =>
    `http://${modelServerName(name)}.${namespace}.svc:${String(PORTS.modelServer)}/v1`;
  return {
    mlflow: withNodePort(trackingUri(namespace), mlflow.service.nodePort),
    ...(board.enabled ? { board: withNodePort(boardUrl(namespace), board.service.nodePort) } : {}),
    models: Object.fromEntries(
      models.map(({ name, servedName, service }) => [
        name,
        { ...withNodePort(modelUrl(name), service.nodePort), model: servedName ?? name },
      ]),
    ),
  };
}
