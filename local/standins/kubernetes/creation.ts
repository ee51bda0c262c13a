import { setTimeout as pause } from "node:timers/promises";
import { at, type Props, asText } from "../values.ts";
import { apply, findRaw, idOf, keyOf, UnknownKind, type Apply } from "./api.ts";
import type { KubernetesClient } from "./client.ts";

const attempts = 6;

/** An object of this name is in the way, unless it is this very resource from an interrupted run. */
export async function refuseExisting(
  client: KubernetesClient,
  object: Props,
  manager: string,
): Promise<void> {
  const found = await findRaw(client, keyOf(object));
  const managers = at(found, "metadata", "managedFields");
  const own = Array.isArray(managers) && managers.some((entry) => at(entry, "manager") === manager);
  if (found !== undefined && !own) {
    throw new Error(
      `${asText(object["kind"])} ${idOf(object)} already exists in the cluster: ` +
        "delete it, take it over with `pulumi import`, or set upsertExistingObjects",
    );
  }
}

/** Applies an object; a kind that was registered a moment ago may take the server some seconds to serve. */
export async function applyOnceServed(
  client: KubernetesClient,
  object: Props,
  how: Apply,
): Promise<Props> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await apply(client, object, how);
    } catch (error) {
      if (!(error instanceof UnknownKind) || attempt === attempts) {
        throw error;
      }
      const { signal } = how;
      await pause(200 * 2 ** attempt, undefined, signal === undefined ? {} : { signal });
    }
  }
}
