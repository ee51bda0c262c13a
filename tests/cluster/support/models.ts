import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/program";
import { kubectl, run } from "./platform";

/** What the stack tells about itself. */
export interface Outputs {
  readonly endpoints: {
    readonly mlflow: { readonly nodePort: number };
    readonly frontDoor?: { readonly nodePort: number };
    readonly board?: { readonly nodePort: number };
    readonly models: Readonly<
      Record<string, { readonly nodePort: number; readonly model: string }>
    >;
  };
  readonly runId: string;
  readonly vllmApiKey: string;
}

/** Reads the outputs of the running stack, the API key included. */
export async function readOutputs(): Promise<Outputs> {
  const args = ["stack", "output", "--json", "--show-secrets", "--stack", "local"];
  return JSON.parse(await run(ROOT, "pulumi", ...args)) as Outputs;
}

/** Address of the one node. */
export async function readNodeAddress(): Promise<string> {
  const { items } = JSON.parse(await kubectl("get", "nodes", "-o", "json")) as {
    items: { status: { addresses: { type: string; address: string }[] } }[];
  };
  const found = items[0]?.status.addresses.find(({ type }) => type === "InternalIP");
  if (found === undefined) throw new Error("the node has no address");
  return found.address;
}

/** What the example teaches. */
export const lesson = JSON.parse(
  readFileSync(join(ROOT, "examples", "lumen7", "expect.json"), "utf8"),
) as { readonly question: string; readonly answer_contains: string };

/** A model server of the stack. */
export interface ServedModel {
  readonly nodeAddress: string;
  readonly outputs: Outputs;
  /** Name of the model in the settings. */
  readonly name: string;
}

/** Asks a model, always with the same random numbers: the same weights give the same answer. */
export function chat(
  { nodeAddress, outputs, name }: ServedModel,
  question: string,
  key = outputs.vllmApiKey,
): Promise<Response> {
  const served = outputs.endpoints.models[name];
  if (served === undefined) throw new Error(`the stack serves no ${name}`);
  return fetch(`http://${nodeAddress}:${served.nodePort}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({
      model: served.model,
      messages: [{ role: "user", content: question }],
      temperature: 0,
      max_tokens: 64,
    }),
  });
}

/** The text of a model's answer. @throws with the server's words where it gives none. */
export async function answer(served: ServedModel, question: string): Promise<string> {
  const response = await chat(served, question);
  const text = await response.text();
  if (!response.ok) throw new Error(`${served.name}: ${response.status} ${text}`);
  const body = JSON.parse(text) as { choices: { message: { content: string } }[] };
  return body.choices[0]?.message.content ?? "";
}

/** An MLflow server: where it is, and the login that it asks for, if it does. */
export interface Tracker {
  readonly nodeAddress: string;
  readonly outputs: Outputs;
  /** User name and password, with a colon in between. */
  readonly login?: string;
}

/** Asks MLflow's REST API, by POST with a body and by GET without. @throws with its words where it refuses. */
export async function mlflow<T>(
  { nodeAddress, outputs, login }: Tracker,
  path: string,
  body?: object,
): Promise<T> {
  const url = `http://${nodeAddress}:${outputs.endpoints.mlflow.nodePort}/api/2.0/mlflow/${path}`;
  const response = await fetch(url, {
    method: body === undefined ? "GET" : "POST",
    headers: {
      "content-type": "application/json",
      ...(login === undefined ? {} : { authorization: `Basic ${btoa(login)}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
}
