import type { ResourceRule, StackRule } from "./rule";
import { imageByDigest, imageRegistry } from "./rules/images";
import { defaultDeny, publicNeedsKey } from "./rules/network";
import { namespaceRestricted, noServiceAccountToken, podRestricted } from "./rules/podSecurity";
import { gpuRequestIsLimit, resourcesSet } from "./rules/resources";
import { autoscalerOwnsReplicas } from "./rules/scaling";
import { noPlainSecret, secretsStayInSecrets } from "./rules/secrets";
import { statefulProtected } from "./rules/state";

/** Rules about one resource at a time. */
export const resourceRules: readonly ResourceRule[] = [
  imageByDigest,
  imageRegistry,
  noPlainSecret,
  resourcesSet,
  gpuRequestIsLimit,
  podRestricted,
  namespaceRestricted,
  noServiceAccountToken,
  statefulProtected,
];

/** Rules about the resources of a stack together. */
export const stackRules: readonly StackRule[] = [
  secretsStayInSecrets,
  publicNeedsKey,
  defaultDeny,
  autoscalerOwnsReplicas,
];
