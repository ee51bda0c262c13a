import type { Change } from "./diff.ts";
import type { Props } from "./values.ts";

/** What every operation on a resource is told. */
export interface Target {
  readonly urn: string;
  /** The type token, such as `kubernetes:core/v1:Secret`. */
  readonly type: string;
  /** The logical name. */
  readonly name: string;
}

/** A resource that exists. */
export interface Existing extends Target {
  readonly id: string;
  /** The outputs of the last update. */
  readonly state: Props;
  /** The inputs of the last update. */
  readonly inputs: Props;
}

/** What check is told. */
export interface CheckArgs extends Target {
  readonly olds: Props;
  readonly news: Props;
  readonly seed: Uint8Array;
  readonly autonaming: { readonly name: string; readonly mode: "propose" | "enforce" | "disable" };
}

/** Checked inputs, and what is wrong with them. */
export interface Checked {
  readonly inputs: Props;
  readonly failures?: readonly { readonly property: string; readonly reason: string }[];
}

/** What an update would do. */
export interface Difference {
  readonly changes: readonly Change[];
  readonly replaces?: readonly Change[];
  /** Replace although no property asks for it; the text names the reason. */
  readonly replaceFor?: string;
  readonly deleteBeforeReplace?: boolean;
}

/** How an operation is to run. */
export interface Run {
  readonly preview: boolean;
  /** Seconds given by customTimeouts, or 0. */
  readonly timeout: number;
}

/** A resource as it is now. */
export interface Live {
  readonly id: string;
  readonly state: Props;
  readonly inputs: Props;
}

/** The operations of a stand-in provider. */
export interface Provider {
  readonly version: string;
  configure(config: Props): Promise<void>;
  diffConfig?(olds: Props, news: Props): Difference;
  check(args: CheckArgs): Promise<Checked>;
  diff(existing: Existing, news: Props): Promise<Difference>;
  create(target: Target, inputs: Props, run: Run): Promise<{ id: string; state: Props }>;
  read(existing: Existing): Promise<Live | undefined>;
  update(existing: Existing, news: Props, run: Run): Promise<Props>;
  delete(existing: Existing, run: Run): Promise<void>;
  cancel?(): void;
}
