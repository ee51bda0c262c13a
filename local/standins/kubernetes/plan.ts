import type { Props } from "../values.ts";
import { apply, find, keyOf, validateElsewhere, type Apply } from "./api.ts";
import { ApiError, type KubernetesClient } from "./client.ts";
import { planned } from "./state.ts";

/**
 * What the API server would make of a new object, by a dry run. Undefined where it cannot say yet: the namespace is
 * still to be created, or an object of that name is still to be deleted. A fault of the object is an error.
 */
export async function planCreation(
  client: KubernetesClient,
  object: Props,
  how: Apply,
): Promise<Props | undefined> {
  if ((await find(client, keyOf(object))) !== undefined) {
    await validateElsewhere(client, object, how);
    return undefined;
  }
  return dryRun(client, object, { ...how, force: true });
}

/** What the API server would make of a changed object, by a dry run; see {@link planCreation}. */
export async function dryRun(
  client: KubernetesClient,
  object: Props,
  how: Apply,
): Promise<Props | undefined> {
  try {
    return planned(await apply(client, object, { ...how, dryRun: true }));
  } catch (error) {
    if (!(error instanceof ApiError) || ![403, 404].includes(error.status)) {
      throw error;
    }
    await validateElsewhere(client, object, how);
    return undefined;
  }
}
