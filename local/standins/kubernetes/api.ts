import { objectAt, stringAt, type Props } from "../values.ts";
import { apiPath, ApiError, isNotFound, type KubernetesClient, type Resource } from "./client.ts";
import { deletionPropagation } from "./kinds.ts";

/** How an object is applied. */
export interface Apply {
  readonly manager: string;
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** The API server does not serve the object's kind. */
export class UnknownKind extends Error {}

/** Identifies an object on the server. */
export interface Key {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string;
}

/** The key of an object. */
export function keyOf(object: Props): Key {
  const metadata = objectAt(object, "metadata");
  return {
    apiVersion: stringAt(object, "apiVersion") ?? "",
    kind: stringAt(object, "kind") ?? "",
    namespace: stringAt(metadata, "namespace"),
    name: stringAt(metadata, "name") ?? "",
  };
}

/** The resource id of an object: `namespace/name`, or `name` outside namespaces. */
export function idOf(object: Props): string {
  const { namespace, name } = keyOf(object);
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** The key of an object known by its id and type token, and by what is recorded of it, if anything is. */
export function keyFrom({ id, type }: { id: string; type: string }, recorded: Props): Key {
  const [name = "", namespace] = id.split("/").reverse();
  const [, group = "", kind = ""] = type.split(":");
  const known = keyOf(recorded);
  return {
    apiVersion: known.apiVersion || group.replace(/^core\//, ""),
    kind: known.kind || kind,
    namespace,
    name,
  };
}

function pathOf(key: Key, resource: Resource): string {
  const scope = resource.namespaced ? `/namespaces/${key.namespace ?? "default"}` : "";
  const name = encodeURIComponent(key.name);
  return `${apiPath(key.apiVersion)}${scope}/${resource.plural}/${name}`;
}

async function located(client: KubernetesClient, key: Key): Promise<string> {
  const resource = await client.resource(key.apiVersion, key.kind);
  if (resource === undefined) {
    throw new UnknownKind(
      `the cluster does not serve ${key.apiVersion} ${key.kind}; has its CRD been created?`,
    );
  }
  return pathOf(key, resource);
}

/** The answer without what changes with every write and is of no use in a plan. */
function tidy(object: Props): Props {
  const { managedFields, ...metadata } = objectAt(object, "metadata");
  return managedFields === undefined ? object : { ...object, metadata };
}

/** The object as it is, with its managed fields, or undefined where there is none. */
export async function findRaw(
  client: KubernetesClient,
  key: Key,
  signal?: AbortSignal,
): Promise<Props | undefined> {
  try {
    return await client.json({ method: "GET", path: await located(client, key), signal });
  } catch (error) {
    if (isNotFound(error) || error instanceof UnknownKind) {
      return undefined;
    }
    throw error;
  }
}

/** The object as it is, or undefined where there is none. */
export async function find(
  client: KubernetesClient,
  key: Key,
  signal?: AbortSignal,
): Promise<Props | undefined> {
  const found = await findRaw(client, key, signal);
  return found === undefined ? undefined : tidy(found);
}

/** Server-side apply: creates the object, or makes the fields given what they are to be. */
export async function apply(client: KubernetesClient, object: Props, how: Apply): Promise<Props> {
  const answer = await client.json({
    method: "PATCH",
    path: await located(client, keyOf(object)),
    query: {
      fieldManager: how.manager,
      fieldValidation: "Strict",
      force: String(how.force),
      ...(how.dryRun ? { dryRun: "All" } : {}),
    },
    body: object,
    contentType: "application/apply-patch+yaml",
    signal: how.signal,
  });
  return tidy(answer);
}

/** Asks for the object's deletion; says whether there was one. */
export async function remove(client: KubernetesClient, object: Props): Promise<boolean> {
  try {
    await client.send({
      method: "DELETE",
      path: await located(client, keyOf(object)),
      body: {
        apiVersion: "v1",
        kind: "DeleteOptions",
        propagationPolicy: deletionPropagation(object),
      },
    });
    return true;
  } catch (error) {
    if (isNotFound(error) || error instanceof UnknownKind) {
      return false;
    }
    throw error;
  }
}

/**
 * Checks an object whose namespace is not there yet: a dry run in `default` finds every fault of its
 * fields; what depends on the namespace (quota, policies, other objects) is not judged.
 */
export async function validateElsewhere(
  client: KubernetesClient,
  object: Props,
  how: Apply,
): Promise<void> {
  const metadata = { ...objectAt(object, "metadata"), namespace: "default" };
  try {
    await apply(client, { ...object, metadata }, { ...how, dryRun: true, force: true });
  } catch (error) {
    const faults = [400, 422, 500];
    if (error instanceof ApiError && faults.includes(error.status) && !isImmutable(error)) {
      throw error;
    }
    if (!(error instanceof ApiError)) {
      throw error;
    }
  }
}

/** Whether the server refuses to change a field of an object that is already there. */
export function isImmutable(error: ApiError): boolean {
  return /immutable|may not be changed|updates to .* are forbidden/i.test(error.message);
}
