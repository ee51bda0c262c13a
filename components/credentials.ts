import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { GeneratedKey, SecretKey } from "../config/secrets";
import { FLASK_KEY } from "../config/secrets";
import { ARTIFACTORY_KEYS } from "../workloads/fetch";
import { NAMES } from "../workloads/names";
import type { ManagedSource } from "../workloads/secretManager";
import { ManagedSecrets } from "./managedSecrets";

/** The administrator's password, and what signs the forms. */
const LOGIN_KEYS = ["MLFLOW_AUTH_ADMIN_PASSWORD", FLASK_KEY] as const;

type Names = Readonly<Record<string, pulumi.Output<string>>>;
type Values = Readonly<Record<string, pulumi.Output<string> | undefined>>;

/** Arguments of {@link Credentials}. */
export interface CredentialsArgs {
  readonly namespace: pulumi.Input<string>;
  /** The secrets of the stack, by key. */
  readonly secrets: Readonly<Partial<Record<SecretKey, pulumi.Output<string>>>>;
  /** Secrets of logins and databases that the stack needs: what it does not give is generated. */
  readonly generated: readonly GeneratedKey[];
  /** Secrets that come from Secret Manager instead; none by default. */
  readonly managed?: ManagedSource | undefined;
}

/**
 * The Kubernetes Secrets of the stack. Their names carry a suffix: a changed value makes a new
 * Secret, and the pods that use it roll over by themselves.
 */
export class Credentials extends pulumi.ComponentResource {
  /** Name of the Secret that holds a key, for the keys that are set. */
  public readonly names: Names;
  /** The key that clients of the model servers send. */
  public readonly apiKey: pulumi.Output<string>;
  /** Name of the Secret with the key VLLM_API_KEY. */
  public readonly apiKeySecret: pulumi.Output<string>;

  public constructor(name: string, args: CredentialsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Credentials", name, {}, opts);
    const secret = (base: string, stringData: Record<string, pulumi.Input<string>>) =>
      new k8s.core.v1.Secret(
        base,
        { metadata: { namespace: args.namespace }, type: "Opaque", stringData },
        { parent: this },
      ).metadata.name;
    const values = this.values(name, args);
    const group = (base: string, keys: readonly string[]): Names => {
      const stringData = pick(values, keys);
      if (Object.keys(stringData).length === 0) return {};
      const made = secret(base, stringData);
      return Object.fromEntries(Object.keys(stringData).map((key) => [key, made]));
    };
    this.apiKey = args.secrets.VLLM_API_KEY ?? this.generate(`${name}-api-key`);
    this.apiKeySecret = secret(NAMES.apiKeySecret, { VLLM_API_KEY: this.apiKey });
    this.names = {
      ...group(NAMES.hubSecret, ["HF_TOKEN"]),
      ...group(NAMES.artifactorySecret, ARTIFACTORY_KEYS),
      ...group(NAMES.gcsSecret, ["GCS_KEY"]),
      ...group(NAMES.wandbSecret, ["WANDB_API_KEY"]),
      ...group(NAMES.otlpSecret, ["OTLP_HEADERS"]),
      ...group(NAMES.mlflowDatabaseSecret, ["MLFLOW_DB_PASSWORD"]),
      // A password for a login that nobody is asked for stays where it is.
      ...(values[FLASK_KEY] === undefined ? {} : group(NAMES.mlflowAuthSecret, LOGIN_KEYS)),
      ...(args.generated.includes("BOARD_PASSWORD")
        ? group(NAMES.boardSecret, ["BOARD_PASSWORD"])
        : {}),
      ...this.managed(`${name}-managed`, args),
    };
    this.registerOutputs({ apiKeySecret: this.apiKeySecret });
  }

  private managed(name: string, { namespace, managed }: CredentialsArgs): Names {
    if (managed === undefined) return {};
    return new ManagedSecrets(name, { namespace, source: managed }, { parent: this }).names;
  }

  /** What is given, and what is generated since it is not. */
  private values(name: string, { secrets, generated }: CredentialsArgs): Values {
    const given: Values = secrets;
    const missing = generated.filter((key) => given[key] === undefined);
    const made = missing.map((key) => {
      const suffix = key.toLowerCase().replaceAll("_", "-");
      return [key, this.generate(`${name}-${suffix}`)] as const;
    });
    return { ...given, ...Object.fromEntries(made) };
  }

  private generate(name: string): pulumi.Output<string> {
    const password = new random.RandomPassword(
      name,
      { length: 40, special: false },
      { parent: this },
    );
    return pulumi.secret(password.result);
  }
}

function pick(values: Values, keys: readonly string[]): Record<string, pulumi.Output<string>> {
  return Object.fromEntries(
    keys.flatMap((key) => {
      const value = values[key];
      return value === undefined ? [] : [[key, value]];
    }),
  );
}
