import type { ResourceRule } from "../rule";
import { stackOf } from "../rule";
import { at, items } from "../values";

/** Resources that hold what cannot be made again. */
const STATEFUL: readonly RegExp[] = [
  /^kubernetes:core\/v1:PersistentVolume(Claim)?$/,
  /^gcp:storage\/bucket:Bucket$/,
  /^gcp:sql\/database(Instance)?:Database(Instance)?$/,
  /^gcp:artifactregistry\/repository:Repository$/,
  /^gcp:container\/cluster:Cluster$/,
  /^gcp:kms\/cryptoKey:CryptoKey$/,
];

/** A StatefulSet holds data in claims of its own; others have a resource for each claim. */
function holdsData({ type, props }: Parameters<ResourceRule["check"]>[0]): boolean {
  return type === "kubernetes:apps/v1:StatefulSet"
    ? items(at(props, "spec", "volumeClaimTemplates")).length > 0
    : STATEFUL.some((each) => each.test(type));
}

/** Settings by which a provider throws data away, whatever Pulumi's own protection says. */
const DANGEROUS: readonly (readonly [field: string, value: boolean])[] = [
  ["forceDestroy", true],
  ["deletionProtection", false],
];

/** Models, runs and databases of a stack that people rely on outlive a mistaken destroy. */
export const statefulProtected: ResourceRule = {
  name: "stateful-protected",
  description: "In protected stacks, whatever holds data is protected from deletion.",
  remedy:
    "Remove protect: false from its settings. To delete it on purpose: pulumi state unprotect '<urn>', then pulumi destroy --target '<urn>'.",
  settings: { stacks: "names of the protected stacks" },
  check: (resource, { stacks = [] }) => {
    const { props, protect } = resource;
    if (!stacks.includes(stackOf(resource)) || !holdsData(resource)) return [];
    return [
      ...(protect ? [] : ["It holds data, and is not protected."]),
      ...DANGEROUS.filter(([field, value]) => at(props, field) === value).map(
        ([field, value]) => `It sets ${field} to ${String(value)}.`,
      ),
    ];
  },
};
