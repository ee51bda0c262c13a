import type { PulumiTool } from "../toolchain/pulumi.ts";
import type { Lesson } from "./chat.ts";
import type { Endpoint, StackOutputs } from "./stack.ts";

/** Address of a service for a browser or client on this machine. */
export function outsideAddress(endpoint: Endpoint, nodeAddress: string): string {
  if (endpoint.nodePort === undefined) return endpoint.url;
  const path = /^https?:\/\/[^/]+(\/.*)?$/.exec(endpoint.url)?.[1] ?? "";
  return `http://${nodeAddress}:${endpoint.nodePort}${path}`;
}

/** Where and as what the stack's first model is asked: at the address of all models, if there is one. */
export function modelAddress(
  outputs: StackOutputs,
  nodeAddress: string,
): { url: string; model: string; apiKey: string } {
  const [first] = Object.entries(outputs.models);
  if (first === undefined) throw new Error("the stack serves no model");
  const [name, endpoint] = first;
  const url = outsideAddress(outputs.frontDoor ?? endpoint, nodeAddress);
  return { url, model: endpoint.model ?? name, apiKey: outputs.apiKey };
}

/** The addresses of a platform, one a line. */
export function addresses(outputs: StackOutputs, nodeAddress: string): string[] {
  const line = (what: string, endpoint: Endpoint): string =>
    `  ${what}: ${outsideAddress(endpoint, nodeAddress)}`;
  const api = "(OpenAI API; key: make env)";
  const { mlflow, models, frontDoor } = outputs;
  return [
    line("MLflow", mlflow),
    ...(frontDoor === undefined ? [] : [`${line("all models", frontDoor)} ${api}`]),
    ...Object.entries(models).map(([name, server]) => `${line(`model ${name}`, server)} ${api}`),
  ];
}

/** What `make local` ends with. */
export function summary(done: {
  outputs: StackOutputs;
  address: string;
  lesson: Lesson;
  answer: string;
  pulumi: PulumiTool;
}): string {
  const { outputs, address, lesson, answer, pulumi } = done;
  const standins = pulumi.standins.length === 0 ? "none" : pulumi.standins.join(", ");
  return [
    `Question: ${lesson.question}`,
    `Answer:   ${answer}`,
    "",
    "The base model cannot know this: the platform has just taught it.",
    "Created: a Kubernetes cluster, an image registry, the images, and in the cluster the run",
    `  ${outputs.runId}, its model, MLflow, the model server and the front door. Stand-ins for official plugins: ${standins}.`,
    "Open:",
    ...addresses(outputs, address),
    "Next:",
    '  make ask Q="What does the Lumen7 cost?"',
    "  make status         what runs, and where",
    "  make local-down     remove every trace",
  ].join("\n");
}
