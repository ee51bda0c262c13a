import { at, isObject, objectAt, stringAt, type Json, type Props, asText } from "../values.ts";
import { isNotFound, type KubernetesClient } from "./client.ts";
import { ApiError } from "./client.ts";

/** Reasons for which a container waits that do not go away by waiting a moment. */
const troubles = new Set([
  "CrashLoopBackOff",
  "CreateContainerConfigError",
  "CreateContainerError",
  "ErrImageNeverPull",
  "ErrImagePull",
  "ImageInspectError",
  "ImagePullBackOff",
  "InvalidImageName",
  "RunContainerError",
]);

const logLines = 12;

function list(value: Json | undefined): Props[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function nameOf(object: Props): string {
  return stringAt(objectAt(object, "metadata"), "name") ?? "";
}

function labelSelector(object: Props): string | undefined {
  const labels = objectAt(objectAt(objectAt(object, "spec"), "selector"), "matchLabels");
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${asText(value)}`);
  return pairs.length === 0 ? undefined : pairs.join(",");
}

/** A container that does not run as it should, in words, and whether its log may say why. */
interface Trouble {
  readonly pod: string;
  readonly container: string;
  readonly text: string;
  readonly previous: boolean;
}

function containerTrouble(pod: Props, container: Props): Trouble[] {
  const name = stringAt(container, "name") ?? "";
  const who = { pod: nameOf(pod), container: name };
  const waiting = objectAt(objectAt(container, "state"), "waiting");
  const reason = stringAt(waiting, "reason");
  if (reason !== undefined && troubles.has(reason)) {
    const message = stringAt(waiting, "message");
    const text = message === undefined ? reason : `${reason}: ${message}`;
    return [{ ...who, text, previous: Number(container["restartCount"] ?? 0) > 0 }];
  }
  const ended = objectAt(objectAt(container, "state"), "terminated");
  const code = ended["exitCode"];
  if (code !== undefined && code !== 0) {
    const message = stringAt(ended, "message") ?? "";
    const text = `${stringAt(ended, "reason") ?? "Error"}, exit code ${asText(code)} ${message}`;
    return [{ ...who, text: text.trim(), previous: false }];
  }
  return [];
}

function podTroubles(pod: Props): Trouble[] {
  const status = objectAt(pod, "status");
  const containers = [
    ...list(status["initContainerStatuses"]),
    ...list(status["containerStatuses"]),
  ].flatMap((container) => containerTrouble(pod, container));
  const unscheduled = list(status["conditions"]).filter(
    (item) => item["type"] === "PodScheduled" && item["status"] === "False",
  );
  return [
    ...unscheduled.map((item) => ({
      pod: nameOf(pod),
      container: "",
      text: `not scheduled: ${stringAt(item, "message") ?? ""}`,
      previous: false,
    })),
    ...containers,
  ];
}

/** What is wrong with the pods of a workload: one text each, with the last lines of the log if asked. */
export async function podReports(
  client: KubernetesClient,
  object: Props,
  withLogs: boolean,
): Promise<string[]> {
  const namespace = stringAt(objectAt(object, "metadata"), "namespace") ?? "default";
  const base = `/api/v1/namespaces/${namespace}/pods`;
  let pods: Props[] = [];
  if (object["kind"] === "Pod") {
    pods = [object];
  } else {
    const selector = labelSelector(object);
    if (selector === undefined) {
      return [];
    }
    const query = { labelSelector: selector };
    pods = list((await client.json({ method: "GET", path: base, query }))["items"]);
  }
  const current = pods.filter((pod) => at(pod, "metadata", "deletionTimestamp") === undefined);
  const found = current.flatMap(podTroubles).slice(0, 5);
  return Promise.all(
    found.map(async (trouble) => {
      const who = trouble.container === "" ? trouble.pod : `${trouble.pod}/${trouble.container}`;
      const log = withLogs && trouble.container !== "" ? await tail(client, base, trouble) : "";
      return `${who}: ${trouble.text}${log}`;
    }),
  );
}

async function tail(client: KubernetesClient, base: string, trouble: Trouble): Promise<string> {
  try {
    const text = await client.send({
      method: "GET",
      path: `${base}/${trouble.pod}/log`,
      query: {
        container: trouble.container,
        tailLines: String(logLines),
        ...(trouble.previous ? { previous: "true" } : {}),
      },
    });
    const lines = text.trimEnd();
    return lines === "" ? "" : `\n    ${lines.split("\n").join("\n    ")}`;
  } catch (error) {
    if (isNotFound(error) || error instanceof ApiError) {
      return ` (its log is not there: ${error instanceof Error ? error.message : ""})`;
    }
    throw error;
  }
}
