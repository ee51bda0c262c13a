/** A step of `pulumi preview --json`, as far as a reader of the change needs it. */
export interface Step {
  readonly op: string;
  readonly urn: string;
  readonly oldState?: ResourceState;
  readonly newState?: ResourceState;
  readonly replaceReasons?: readonly string[] | null;
}

/** A resource before or after the change. Secret values are `[secret]` in it. */
export interface ResourceState {
  readonly type: string;
  readonly parent?: string;
  readonly inputs?: Readonly<Record<string, unknown>>;
}

/** One property that changes, with short values to read. */
export interface PropertyChange {
  readonly path: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** What stands for a value that only the update itself makes known. Source: pulumi/sdk, `plugin.UnknownStringValue`. */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const LONGEST = 60;

/**
 * The steps in the JSON that `pulumi preview --json` prints.
 *
 * @throws when the text is no such JSON, which is how a preview that failed ends.
 */
export function parsePreview(json: string): readonly Step[] {
  const raw: unknown = JSON.parse(json);
  if (typeof raw !== "object" || raw === null) throw new Error("the preview is no JSON object");
  const { steps = [] } = raw as { steps?: readonly Step[] };
  return steps;
}

/** Name of a resource: the last part of its URN. */
export function nameOf(urn: string): string {
  return urn.slice(urn.lastIndexOf("::") + 2);
}

/** Type of a resource as people say it: `Deployment`, `Image`, `NodePool`. */
export function kindOf({ oldState, newState }: Step): string {
  const type = newState?.type ?? oldState?.type ?? "";
  return type.slice(type.lastIndexOf(":") + 1);
}

/**
 * The component at the top that a resource belongs to, or the resource itself.
 *
 * @param byUrn - every step of the preview, also of what stays the same
 */
export function componentOf(step: Step, byUrn: ReadonlyMap<string, Step>): string {
  let at = step;
  for (;;) {
    const parent = (at.newState ?? at.oldState)?.parent;
    const above = parent === undefined ? undefined : byUrn.get(parent);
    if (above === undefined || above.urn.includes("::pulumi:pulumi:Stack::")) return nameOf(at.urn);
    at = above;
  }
}

/** The inputs that differ between the two states of a step, down to single values. */
export function propertyChanges({ oldState, newState }: Step): PropertyChange[] {
  const before = leaves(oldState?.inputs ?? {});
  const after = leaves(newState?.inputs ?? {});
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  return paths
    .filter((path) => before.get(path) !== after.get(path))
    .map((path) => ({ path, before: short(before.get(path)), after: short(after.get(path)) }));
}

function leaves(value: unknown, path = ""): Map<string, string> {
  if (typeof value !== "object" || value === null) return new Map([[path, String(value)]]);
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.map((item, index) => [`${path}[${String(index)}]`, item])
    : Object.entries(value).map(([key, item]) => [path === "" ? key : `${path}.${key}`, item]);
  return new Map(entries.flatMap(([key, item]) => [...leaves(item, key)]));
}

function short(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (text === UNKNOWN) return "known after the update";
  const line = text.replace(/\s+/g, " ").replaceAll("|", "\\|").replaceAll("`", "'");
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}
