import {
  containers,
  isFromSecret,
  kindOf,
  objectName,
  podSpecs,
  sameNamespace,
  selects,
} from "../objects";
import type { Resource, StackRule } from "../rule";
import { stackOf } from "../rule";
import type { Value } from "../values";
import { UNKNOWN, at, isSet, items, text } from "../values";

const isPublic = ({ props }: Resource): boolean =>
  ["LoadBalancer", "NodePort"].includes(text(at(props, "spec", "type")) ?? "") ||
  items(at(props, "spec", "externalIPs")).length > 0;

/** Names of the Services that an Ingress or a route of the Gateway API leads to. */
function backends(resource: Resource): readonly Value[] {
  const spec = at(resource.props, "spec");
  const rules = items(at(spec, "rules"));
  switch (kindOf(resource)) {
    case "Ingress":
      return [
        at(spec, "defaultBackend", "service", "name"),
        ...rules
          .flatMap((rule) => items(at(rule, "http", "paths")))
          .map((path) => at(path, "backend", "service", "name")),
      ];
    case "HTTPRoute":
      return rules.flatMap((rule) => items(at(rule, "backendRefs"))).map((ref) => at(ref, "name"));
    default:
      return [];
  }
}

const isKey = (name: Value): boolean =>
  /(api[_-]?key|auth\w*password|token)$/i.test(text(name) ?? "");

/** Whether a workload reads a key that callers must send: as a variable from a Secret, or as a mounted Secret. */
function hasKey(workload: Resource): boolean {
  const variables = containers(workload).flatMap(({ value }) => items(at(value, "env")));
  const volumes = podSpecs(workload).flatMap((spec) => items(at(spec, "volumes")));
  return (
    variables.some((variable) => isFromSecret(variable) && isKey(at(variable, "name"))) ||
    volumes.some((volume) => isSet(at(volume, "secret")) && isKey(at(volume, "name")))
  );
}

/** Whoever reaches an address from outside of the cluster must show a key. */
export const publicNeedsKey: StackRule = {
  name: "public-service-needs-key",
  description:
    "A Service that is reached from outside of the cluster is in front of pods that ask for a key.",
  remedy:
    "Make the Service a ClusterIP, or give its pods an API key from a Secret; a Service without one by design goes " +
    "into public-service-needs-key.exempt of policy/settings.ts as stack/service.",
  settings: { exempt: "Services without a key, as stack/service" },
  checkStack: (resources, { exempt = [] }) => {
    const routed = resources.flatMap((resource) => backends(resource));
    return resources
      .filter((resource) => kindOf(resource) === "Service")
      .filter((service) => isPublic(service) || isRouted(service, routed))
      .filter(
        (service) => !exempt.includes(`${stackOf(service)}/${text(objectName(service)) ?? ""}`),
      )
      .flatMap((service) => {
        const selector = at(service.props, "spec", "selector");
        if (selector === UNKNOWN) return [];
        const pods = resources.filter(
          (workload) => sameNamespace(service, workload) && selects(selector, workload),
        );
        if (pods.length > 0 && pods.every(hasKey)) return [];
        return [{ urn: service.urn, message: "It is public, and its pods ask for no key." }];
      });
  },
};

function isRouted(service: Resource, routed: readonly Value[]): boolean {
  const name = objectName(service);
  return typeof name === "string" && routed.includes(name);
}

/** What is not named must not get in or out. */
export const defaultDeny: StackRule = {
  name: "default-deny",
  description: "Namespaces have a NetworkPolicy that lets nothing in or out.",
  remedy:
    "Add a NetworkPolicy with an empty podSelector, the policyTypes Ingress and Egress, and no rules.",
  checkStack: (resources) => {
    const policies = resources.filter(
      (resource) => kindOf(resource) === "NetworkPolicy" && deniesAll(at(resource.props, "spec")),
    );
    return resources
      .filter((resource) => kindOf(resource) === "Namespace")
      .filter((namespace) => {
        const name = objectName(namespace);
        const covers = ({ props }: Resource): boolean =>
          [UNKNOWN, name].includes(at(props, "metadata", "namespace"));
        return name !== UNKNOWN && !policies.some(covers);
      })
      .map(({ urn }) => ({ urn, message: "No NetworkPolicy denies its traffic by default." }));
  },
};

function deniesAll(spec: Value): boolean {
  const types = items(at(spec, "policyTypes"));
  const isEmpty = (value: Value): boolean => !isSet(value) || JSON.stringify(value) === "{}";
  return (
    isEmpty(at(spec, "podSelector")) &&
    ["Ingress", "Egress"].every((type) => types.includes(type)) &&
    items(at(spec, "ingress")).length + items(at(spec, "egress")).length === 0
  );
}
