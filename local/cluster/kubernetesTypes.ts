/** What this code reads of Kubernetes objects: the client's own classes fit, and so do plain objects. */
interface Metadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Container {
  readonly ports?: readonly {
    readonly name?: string;
    readonly protocol?: string;
    readonly containerPort: number;
  }[];
}

/** A pod. */
export interface Pod {
  readonly metadata?: Metadata;
  readonly spec?: {
    readonly hostNetwork?: boolean;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: { readonly phase?: string; readonly podIP?: string };
}

/** A namespace. */
export interface Namespace {
  readonly metadata?: Metadata;
}

/** A label selector. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly LabelRequirement[];
}

/** One of a selector's expressions. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** A block of addresses. */
export interface IpBlock {
  readonly cidr: string;
  readonly except?: readonly string[];
}

/** The other side of a connection that a policy allows. */
export interface PolicyPeer {
  readonly ipBlock?: IpBlock;
  readonly namespaceSelector?: LabelSelector;
  readonly podSelector?: LabelSelector;
}

/** A port that a policy allows. */
export interface PolicyPort {
  readonly protocol?: string;
  readonly port?: number | string;
  readonly endPort?: number;
}

/** What a policy lets in. The client calls the field `_from` in what it lists and, as the API does, `from` in watches. */
export interface IngressRule {
  readonly _from?: readonly PolicyPeer[];
  readonly from?: readonly PolicyPeer[];
  readonly ports?: readonly PolicyPort[];
}

/** A NetworkPolicy. */
export interface NetworkPolicy {
  readonly metadata?: Metadata;
  readonly spec?: NetworkPolicySpec;
}

/** A NetworkPolicy's rules. */
export interface NetworkPolicySpec {
  readonly podSelector?: LabelSelector;
  readonly policyTypes?: readonly string[];
  readonly ingress?: readonly IngressRule[];
  readonly egress?: readonly {
    readonly to?: readonly PolicyPeer[];
    readonly ports?: readonly PolicyPort[];
  }[];
}
