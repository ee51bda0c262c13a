import type { Link } from "./options.ts";

const FIRST = 1;
const LAST = 254;

/** Third number of the link's addresses that an instance tries first: 1 to 254. */
export function preferredIndex(instance: string): number {
  let hash = 0;
  for (const character of instance) {
    hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 0xffffff;
  }
  return FIRST + (hash % (LAST - FIRST + 1));
}

/** The link of an instance, given a free index. */
export function linkOf(instance: string, index: number): Link {
  return {
    name: `llmops-${instance}`,
    hostAddress: `10.201.${index}.1`,
    nodeAddress: `10.201.${index}.2`,
  };
}

/**
 * Chooses the addresses of an instance's link.
 *
 * @param taken - addresses and routes that the machine has already, with or without a prefix length.
 * @throws when all of 10.201.1.0 to 10.201.254.0 are in use.
 */
export function chooseLink(instance: string, taken: readonly string[]): Link {
  const used = new Set(taken.flatMap(indexesOf));
  const first = preferredIndex(instance);
  for (let step = 0; step <= LAST - FIRST; step++) {
    const index = FIRST + ((first - FIRST + step) % (LAST - FIRST + 1));
    if (!used.has(index)) return linkOf(instance, index);
  }
  throw new Error(
    "no free address range for the cluster's link: 10.201.1.0 to 10.201.254.0 are all in use",
  );
}

function indexesOf(address: string): number[] {
  const [ip = "", length = "32"] = address.split("/");
  const [first, second, third] = ip.split(".").map(Number);
  if (first !== 10 || second === undefined || third === undefined) return [];
  const bits = Number(length);
  if (bits < 16) return (second & mask(bits - 8)) === (201 & mask(bits - 8)) ? range(0, 255) : [];
  if (second !== 201) return [];
  const start = third & mask(bits - 16);
  return range(start, start + (~mask(bits - 16) & 0xff));
}

function mask(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 8 ? 0xff : (0xff << (8 - bits)) & 0xff;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, offset) => from + offset);
}
