import type { Engine } from "../plugin.ts";
import { isUnknown, objectAt, type Props } from "../values.ts";
import { keyOf } from "./api.ts";
import { KubernetesClient, Unreachable } from "./client.ts";
import type { Settings } from "./config.ts";
import { isBuiltIn, isClusterScoped } from "./kinds.ts";
import { chosenCluster, type Cluster } from "./kubeconfig.ts";

/** No usable kubeconfig: plans go on without a cluster, changes do not. */
class NoCluster extends Error {}

/** The way to the cluster that the provider's settings name, opened when it is first needed. */
export class ClusterAccess {
  private readonly engine: Engine;
  private readonly settings: Settings;
  private chosen: Promise<Cluster> | undefined;
  private client: KubernetesClient | undefined;
  private warned = false;

  constructor(engine: Engine, settings: Settings) {
    this.engine = engine;
    this.settings = settings;
  }

  /** The client; fails where no kubeconfig says how to reach a cluster. */
  async connect(): Promise<KubernetesClient> {
    const cluster = await this.cluster();
    return (this.client ??= new KubernetesClient(cluster));
  }

  private async cluster(): Promise<Cluster> {
    try {
      return await (this.chosen ??= chosenCluster(this.settings));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new NoCluster(message, { cause: error });
    }
  }

  /** A plan goes on without the cluster, and says so once; any other error stays one. */
  async withoutCluster<T>(error: unknown, fallback: T): Promise<T> {
    if (!(error instanceof NoCluster || error instanceof Unreachable)) {
      throw error;
    }
    if (!this.warned) {
      this.warned = true;
      await this.engine.log("warning", `planned without the cluster's check: ${error.message}`);
    }
    return fallback;
  }

  /** The object with a namespace, if its kind lives in one: its own, the provider's, or the context's. */
  async withNamespace(object: Props): Promise<Props> {
    const metadata = objectAt(object, "metadata");
    if (metadata["namespace"] !== undefined || isUnknown(object["metadata"])) {
      return object;
    }
    const { apiVersion, kind } = keyOf(object);
    const namespaced = isBuiltIn(apiVersion)
      ? !isClusterScoped(kind)
      : await this.servedInNamespaces(apiVersion, kind);
    if (!namespaced) {
      return object;
    }
    const { namespace = await this.contextNamespace() } = this.settings;
    return { ...object, metadata: { ...metadata, namespace } };
  }

  private async servedInNamespaces(apiVersion: string, kind: string): Promise<boolean> {
    try {
      const resource = await (await this.connect()).resource(apiVersion, kind);
      return resource?.namespaced ?? true;
    } catch (error) {
      return this.withoutCluster(error, true);
    }
  }

  private async contextNamespace(): Promise<string> {
    if (this.settings.renderTo !== undefined) {
      return "default";
    }
    try {
      return (await this.cluster()).namespace ?? "default";
    } catch (error) {
      return this.withoutCluster(error, "default");
    }
  }
}
