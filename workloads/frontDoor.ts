import type { Input } from "@pulumi/pulumi";
import type { types } from "@pulumi/kubernetes";
import type { FrontDoorSettings } from "../config/frontDoor";
import { servedNames } from "../config/models";
import type { Settings } from "../config/schema";
import { envoyConfig } from "./envoyConfig";
import { NAMES, PORTS, labels, modelPodsName, modelServerName, selectorLabels } from "./names";
import { CONFIG_FOLDER, containerDefaults, podDefaults, resourceRequirements } from "./pod";
import { traceTarget } from "./tracing";

const CONFIG_FILE = "envoy.yaml";
const KEY_FOLDER = "/var/run/secrets/front-door";

/** Name of the file with the API key in its Secret. */
export const KEY_FILE = "api-key.json";
/** Name of the file with the headers of its spans there, if the stack has a secret for them. */
export const TRACE_HEADERS_FILE = "trace-headers.json";

/** Seconds that a pod goes on serving after it was told to end, so that its endpoint is gone. */
const SETTLE_SECONDS = 15;
/** Longest time that requests under way are waited for: as long as OpenAI's clients wait for an answer. */
const DRAIN_SECONDS = 600;
/** Seconds for Envoy to end after that. */
const END_SECONDS = 15;

/** Options of Envoy: two threads, and a log that is written once a second. */
export const ENVOY_OPTIONS = [
  "--disable-hot-restart",
  ...["--concurrency", "2"],
  ...["--log-level", "warn"],
  ...["--file-flush-interval-msec", "1000"],
] as const;

/** Labels that select the pods of the front door. */
export const FRONT_DOOR_SELECTOR = selectorLabels("front-door", NAMES.frontDoor);

/** The configuration of the front door of a stack: the data of its ConfigMap. */
export function frontDoorConfig(
  settings: Pick<Settings, "frontDoor" | "models" | "namespace" | "tracing">,
  hasTraceHeaders = false,
): Record<string, string> {
  const { frontDoor, models, namespace } = settings;
  const target = traceTarget(settings);
  const headersFile = hasTraceHeaders ? `${KEY_FOLDER}/${TRACE_HEADERS_FILE}` : undefined;
  const text = envoyConfig({
    models: models.map((model) => ({
      name: model.name,
      served: servedNames(model),
      pods: `${modelPodsName(model.name)}.${namespace}.svc`,
      service: `${modelServerName(model.name)}.${namespace}.svc`,
      port: PORTS.modelServer,
      canary: model.canary,
    })),
    maxBodyMiB: frontDoor.maxBodyMiB,
    apiKeyFile: `${KEY_FOLDER}/${KEY_FILE}`,
    traces: target && { ...target, headersFile },
  });
  return { [CONFIG_FILE]: text };
}

/** A Service without an address of its own: its name resolves to the ready pods of a model. */
export function modelPodsSpec(model: string): types.input.core.v1.ServiceSpec {
  return {
    clusterIP: "None",
    selector: selectorLabels("inference", model),
    ports: [{ name: "http", port: PORTS.modelServer, targetPort: "http", protocol: "TCP" }],
  };
}

/** What the pods of the front door are made of. */
export interface FrontDoorPodArgs {
  readonly settings: FrontDoorSettings;
  readonly image: Input<string>;
  readonly configMap: Input<string>;
  /** Name of the Secret with {@link KEY_FILE}. */
  readonly keySecret: Input<string>;
  readonly pullSecrets: readonly string[];
}

function container(args: FrontDoorPodArgs): types.input.core.v1.Container {
  const port = "metrics";
  const drain = [PORTS.frontDoorAdmin, SETTLE_SECONDS, DRAIN_SECONDS].map(String);
  return {
    ...containerDefaults(),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    name: "envoy",
    image: args.image,
    args: ["--config-path", `${CONFIG_FOLDER}/${CONFIG_FILE}`, ...ENVOY_OPTIONS],
    ports: [
      { name: "http", containerPort: PORTS.frontDoor },
      { name: "metrics", containerPort: PORTS.frontDoorMetrics },
    ],
    resources: resourceRequirements({ ...args.settings.resources, gpu: 0 }, "cpu"),
    startupProbe: { httpGet: { path: "/ready", port }, periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { httpGet: { path: "/ready", port }, periodSeconds: 5, timeoutSeconds: 2 },
    // Still 200 while draining, when /ready is not.
    livenessProbe: {
      httpGet: { path: "/live", port },
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6,
    },
    lifecycle: { preStop: { exec: { command: ["bash", "/opt/front-door/drain.sh", ...drain] } } },
    volumeMounts: [
      { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
      { name: "api-key", mountPath: KEY_FOLDER, readOnly: true },
    ],
  };
}

/** The Deployment of the front door. A rollout starts the new pod before an old one ends. */
export function frontDoorSpec(args: FrontDoorPodArgs): types.input.apps.v1.DeploymentSpec {
  const { settings } = args;
  return {
    replicas: settings.replicas,
    selector: { matchLabels: FRONT_DOOR_SELECTOR },
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    revisionHistoryLimit: 3,
    template: {
      metadata: {
        labels: labels("front-door", NAMES.frontDoor),
        annotations: {
          "prometheus.io/scrape": "true",
          "prometheus.io/port": String(PORTS.frontDoorMetrics),
          "prometheus.io/path": "/metrics",
        },
      },
      spec: {
        ...podDefaults("front-door", settings, args.pullSecrets),
        terminationGracePeriodSeconds: DRAIN_SECONDS + END_SECONDS,
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "kubernetes.io/hostname",
            whenUnsatisfiable: "ScheduleAnyway",
            labelSelector: { matchLabels: FRONT_DOOR_SELECTOR },
          },
        ],
        containers: [container(args)],
        volumes: [
          { name: "config", configMap: { name: args.configMap } },
          { name: "api-key", secret: { secretName: args.keySecret, defaultMode: 0o440 } },
        ],
      },
    },
  };
}

/** The Ingress of the front door. Without `className` the cluster's default class takes it. */
export function ingressSpec({
  host,
  className,
  tlsSecret,
}: NonNullable<FrontDoorSettings["ingress"]>): types.input.networking.v1.IngressSpec {
  const service = { name: NAMES.frontDoor, port: { name: "http" } };
  return {
    ...(className === undefined ? {} : { ingressClassName: className }),
    ...(tlsSecret === undefined ? {} : { tls: [{ hosts: [host], secretName: tlsSecret }] }),
    rules: [{ host, http: { paths: [{ path: "/v1", pathType: "Prefix", backend: { service } }] } }],
  };
}
