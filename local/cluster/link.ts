import { existsSync, readFileSync } from "node:fs";

import { replaceFile } from "../files.ts";
import { chooseLink } from "./addresses.ts";
import { outcome, output } from "./commands.ts";
import type { Link } from "./options.ts";
import { until } from "./poll.ts";

interface IpAddress {
  readonly ifname: string;
  readonly addr_info: readonly { readonly family: string; readonly local?: string }[];
}

/** The link of an instance: the one that it has chosen before, as long as nobody else uses its addresses. */
export async function instanceLink(instance: string, file: string): Promise<Link> {
  const taken = await takenAddresses(instance);
  if (existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, "utf8")) as Link;
    if (!taken.some((address) => address.split("/")[0] === kept.hostAddress)) return kept;
  }
  const link = chooseLink(instance, taken);
  replaceFile(file, JSON.stringify(link));
  return link;
}

/** Whether the machine has the link now. */
export async function linkExists(link: Link): Promise<boolean> {
  return (await outcome("ip", ["link", "show", link.name])).code === 0;
}

async function takenAddresses(instance: string): Promise<string[]> {
  const own = `llmops-${instance}`;
  const addresses = JSON.parse(await output("ip", ["-json", "-4", "address"])) as IpAddress[];
  const routes = JSON.parse(
    await output("ip", ["-json", "-4", "route", "show", "table", "all"]),
  ) as {
    readonly dst: string;
    readonly dev?: string;
  }[];
  return [
    ...addresses
      .filter(({ ifname }) => ifname !== own)
      .flatMap(({ addr_info }) =>
        addr_info.flatMap(({ local }) => (local === undefined ? [] : [local])),
      ),
    ...routes.filter(({ dst, dev }) => dst !== "default" && dev !== own).map(({ dst }) => dst),
  ];
}

/** Lays the link: one end on the machine, the other in the network namespace of `pid`. */
export async function layLink(link: Link, pid: number, inner: string): Promise<void> {
  const peer = ["peer", "name", inner, "netns", String(pid)];
  await output("ip", ["link", "add", link.name, "type", "veth", ...peer]);
  await output("ip", ["address", "add", `${link.hostAddress}/30`, "dev", link.name]);
  await output("ip", ["link", "set", link.name, "up"]);
}

/** Waits until the kernel has taken the link away; removes it where it is left over. */
export async function removeLink(name: string): Promise<void> {
  await until(`the end of the link ${name}`, 10, async () => {
    const { code } = await outcome("ip", ["link", "show", name]);
    if (code !== 0) return true;
    await outcome("ip", ["link", "delete", name]);
    return undefined;
  });
}
