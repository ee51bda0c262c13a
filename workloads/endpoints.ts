import type { Settings } from "../config/schema";
import { boardUrl } from "./board";
import { trackingUri } from "./mlflow";
import { NAMES, PORTS, modelServerName } from "./names";

/** How a Service is reached. */
export interface Endpoint {
  /** URL inside the cluster. */
  readonly url: string;
  /** Port on every node, with a Service of type NodePort. */
  readonly nodePort?: number;
}

const withNodePort = (url: string, nodePort: number | undefined): Endpoint =>
  nodePort === undefined ? { url } : { url, nodePort };

/** The endpoint of the front door; `public` is where its Ingress makes it reachable. */
function frontDoorEndpoint({
  namespace,
  frontDoor: { service, ingress },
}: Settings): Endpoint & { readonly public?: string } {
  const url = `http://${NAMES.frontDoor}.${namespace}.svc:${String(PORTS.frontDoor)}/v1`;
  const scheme = ingress?.tlsSecret === undefined ? "http" : "https";
  return {
    ...withNodePort(url, service.nodePort),
    ...(ingress === undefined ? {} : { public: `${scheme}://${ingress.host}/v1` }),
  };
}

/** URL of a model server's API inside the cluster. */
export function modelUrl(name: string, namespace: string): string {
  return `http://${modelServerName(name)}.${namespace}.svc:${String(PORTS.modelServer)}/v1`;
}

/** The endpoints that `pulumi up` ends with: MLflow's, LLaMA Board's, each model's by its name, and the front door's. */
export function endpoints(settings: Settings): {
  readonly mlflow: Endpoint;
  readonly board?: Endpoint;
  readonly models: Readonly<Record<string, Endpoint & { readonly model: string }>>;
  readonly frontDoor?: ReturnType<typeof frontDoorEndpoint>;
} {
  const { namespace, mlflow, models, board } = settings;
  return {
    mlflow: withNodePort(trackingUri(namespace), mlflow.service.nodePort),
    ...(board.enabled ? { board: withNodePort(boardUrl(namespace), board.service.nodePort) } : {}),
    models: Object.fromEntries(
      models.map(({ name, servedName, service }) => [
        name,
        { ...withNodePort(modelUrl(name, namespace), service.nodePort), model: servedName ?? name },
      ]),
    ),
    ...(settings.frontDoor.enabled ? { frontDoor: frontDoorEndpoint(settings) } : {}),
  };
}
