import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { SecretKey } from "../config/secrets";
import { ARTIFACTORY_KEYS } from "../workloads/fetch";
import { NAMES } from "../workloads/names";

/** Arguments of {@link Credentials}. */
export interface CredentialsArgs {
  readonly namespace: pulumi.Input<string>;
  /** The secrets of the stack, by key. */
  readonly secrets: Readonly<Partial<Record<SecretKey, pulumi.Output<string>>>>;
}

/**
 * The Kubernetes Secrets of the stack. Their names carry a suffix: a changed value makes a new
 * Secret, and the pods that use it roll over by themselves.
 */
export class Credentials extends pulumi.ComponentResource {
  /** Name of the Secret that holds a key, for the keys that are set. */
  public readonly names: Readonly<Record<string, pulumi.Output<string>>>;
  /** The key that clients of the model servers send. */
  public readonly apiKey: pulumi.Output<string>;
  /** Name of the Secret with the key VLLM_API_KEY. */
  public readonly apiKeySecret: pulumi.Output<string>;

  public constructor(name: string, args: CredentialsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Credentials", name, {}, opts);
    const secret = (
      base: string,
      stringData: Record<string, pulumi.Input<string>>,
    ): pulumi.Output<string> =>
      new k8s.core.v1.Secret(
        base,
        { metadata: { namespace: args.namespace }, type: "Opaque", stringData },
        { parent: this },
      ).metadata.name;
    const given = (keys: readonly SecretKey[]): Record<string, pulumi.Input<string>> =>
      Object.fromEntries(
        keys.flatMap((key) => {
          const value = args.secrets[key];
          return value === undefined ? [] : [[key, value]];
        }),
      );
    const group = (
      base: string,
      keys: readonly SecretKey[],
    ): Readonly<Record<string, pulumi.Output<string>>> => {
      const stringData = given(keys);
      if (Object.keys(stringData).length === 0) return {};
      const made = secret(base, stringData);
      return Object.fromEntries(Object.keys(stringData).map((key) => [key, made]));
    };
    this.apiKey = args.secrets.VLLM_API_KEY ?? this.generateApiKey(name);
    this.apiKeySecret = secret(NAMES.apiKeySecret, { VLLM_API_KEY: this.apiKey });
    this.names = {
      ...group(NAMES.hubSecret, ["HF_TOKEN"]),
      ...group(NAMES.artifactorySecret, ARTIFACTORY_KEYS),
      ...group(NAMES.gcsSecret, ["GCS_KEY"]),
      ...group(NAMES.wandbSecret, ["WANDB_API_KEY"]),
    };
    this.registerOutputs({ apiKeySecret: this.apiKeySecret });
  }

  private generateApiKey(name: string): pulumi.Output<string> {
    const password = new random.RandomPassword(
      `${name}-api-key`,
      { length: 40, special: false },
      { parent: this },
    );
    return pulumi.secret(password.result);
  }
}
