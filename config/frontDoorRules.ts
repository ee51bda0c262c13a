import type { Fault } from "./faults";
import { setCommand } from "./faults";
import type { Settings } from "./schema";

type FrontDoor = Pick<Settings, "frontDoor" | "network">;

/** Memory that Envoy needs to read a MiB of JSON where it is all numbers (measured: 92), and for itself. */
const MIB_A_MIB = 100;
const OWN_MIB = 128;

const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

function mebibytes(quantity: string): number {
  const unit = quantity.replace(/^[0-9.]+/, "");
  return (Number.parseFloat(quantity) * (UNITS[unit] ?? 1)) / 2 ** 20;
}

/** One request must not be able to end a pod. */
function smallMemory({ frontDoor: { maxBodyMiB, resources } }: FrontDoor): Fault[] {
  const needed = OWN_MIB + MIB_A_MIB * maxBodyMiB;
  if (mebibytes(resources.memory) >= needed) return [];
  const key = "frontDoor.resources.memory";
  return [
    {
      key,
      got: `${resources.memory} with frontDoor.maxBodyMiB ${String(maxBodyMiB)}`,
      allowed: `at least ${String(needed)}Mi, which reading one such body can take`,
      fix: setCommand(key, `${String(needed)}Mi`),
    },
  ];
}

/** An Ingress is of no use where the controller's pods are not let in. */
function closedIngress({ frontDoor, network }: FrontDoor): Fault[] {
  const clients = network.clientNamespaces.length + network.clientCidrs.length;
  if (frontDoor.ingress === undefined || clients > 0) return [];
  return [
    {
      key: "network.clientNamespaces",
      got: "nobody, with frontDoor.ingress",
      allowed: "the namespace of the ingress controller, or its addresses in network.clientCidrs",
      fix: setCommand("network.clientNamespaces[0]", "<namespace>"),
    },
  ];
}

/** Faults of the front door that only several settings together show. */
export function frontDoorFaults(settings: FrontDoor): Fault[] {
  return settings.frontDoor.enabled ? [...smallMemory(settings), ...closedIngress(settings)] : [];
}
