import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { caBundleFaults } from "./caBundle";
import { commitOf } from "./commit";
import { infoFaults, readDataset, unreadable } from "./dataset";
import type { Fault } from "./faults";
import { faultsOf, removeCommand, renderFaults } from "./faults";
import type { Gate } from "./gateFile";
import { readGate } from "./gateFile";
import { gcpFaults } from "./gcpRules";
import { gkeFaults } from "./gkeRules";
import { mlflowFaults } from "./mlflowRules";
import { modelFaults } from "./modelRules";
import { ruleFaults } from "./rules";
import type { Settings } from "./schema";
import { settingsSchema } from "./schema";
import { sourceFaults } from "./sourceRules";
import { secretManagerFaults } from "./secretManagerRules";
import type { GeneratedKey, SecretKey } from "./secrets";
import { SECRET_KEYS, generatedSecrets, secretFaults } from "./secrets";
import { servedRunFaults } from "./servedRun";
import { tracingFaults } from "./tracingRules";
import type { TrainingSettings } from "./training";
import { isDownloadedData } from "./training";
import type { TrainingConfig } from "./trainingFile";
import { parseTrainingFile } from "./trainingFile";
import { trainingFaults } from "./trainingRules";

/** The files of a training run, read from the project. */
export interface TrainingFiles {
  readonly settings: TrainingSettings;
  readonly config: TrainingConfig;
  /** Data set by file name; undefined when it is not in the project. */
  readonly data: Readonly<Record<string, string>> | undefined;
  /** Thresholds with their questions; left out, every run passes. */
  readonly gate?: Gate | undefined;
  /** What the files were read from: see {@link commitOf}. No part of what makes the run. */
  readonly commit: string;
}

/** All that a stack's configuration says, checked. */
export interface StackConfig {
  readonly settings: Settings;
  readonly secrets: Readonly<Partial<Record<SecretKey, pulumi.Output<string>>>>;
  /** Secrets to generate where `secrets` has none. */
  readonly generated: readonly GeneratedKey[];
  readonly training: TrainingFiles | undefined;
}

function readTraining(
  root: string,
  settings: Settings,
  faults: Fault[],
): TrainingFiles | undefined {
  if (settings.training === undefined) return undefined;
  const { configFile, data } = settings.training;
  let config: TrainingConfig = {};
  try {
    const parsed = parseTrainingFile(configFile, readFileSync(join(root, configFile), "utf8"));
    config = parsed.config;
    faults.push(...parsed.faults);
  } catch (error) {
    faults.push(unreadable("training.configFile", configFile, error));
  }
  const dataset = data.kind === "files" ? readDataset(root, data.path, config) : undefined;
  const { gate, faults: gateFaults } = readGate(root, settings.training, config, dataset?.files);
  faults.push(...(dataset?.faults ?? []), ...gateFaults);
  if (isDownloadedData(data)) faults.push(...infoFaults(data.info, config));
  const commit = commitOf(root);
  return { settings: settings.training, config, data: dataset?.files, gate, commit };
}

/** Whether a key is encrypted in the stack file; the SDK exports the function but not its type. */
function isConfigSecret(fullKey: string): boolean {
  const runtime = pulumi.runtime as unknown as { isConfigSecret(key: string): boolean };
  return runtime.isConfigSecret(fullKey);
}

function readTree(config: pulumi.Config, faults: Fault[]): Record<string, unknown> {
  const prefix = `${config.name}:`;
  const secretKeys: readonly string[] = SECRET_KEYS;
  const tree: Record<string, unknown> = {};
  for (const fullKey of Object.keys(pulumi.runtime.allConfig())) {
    if (!fullKey.startsWith(prefix)) continue;
    const key = fullKey.slice(prefix.length);
    if (secretKeys.includes(key)) continue;
    if (isConfigSecret(fullKey)) {
      faults.push({
        key,
        got: "an encrypted value (not shown)",
        allowed: `plain settings; the secrets of a stack are ${SECRET_KEYS.join(", ")}`,
        fix: removeCommand(key),
      });
      continue;
    }
    const text = config.require(key);
    tree[key] = /^([[{]|(true|false)$)/.test(text) ? config.requireObject<unknown>(key) : text;
  }
  return tree;
}

/**
 * Reads and checks the configuration of the current stack. The only place that reads it.
 *
 * @param root - folder of the project, which paths in the settings are relative to
 * @throws {pulumi.RunError} with every fault at once, before any resource is created
 */
export function loadConfig(root: string): StackConfig {
  const config = new pulumi.Config();
  const faults: Fault[] = [];
  const tree = readTree(config, faults);
  const parsed = settingsSchema.safeParse(tree);
  if (!parsed.success) {
    faults.push(...faultsOf(parsed.error, tree));
    throw new pulumi.RunError(renderFaults(pulumi.getStack(), faults));
  }
  const settings = parsed.data;
  const training = readTraining(root, settings, faults);
  faults.push(...ruleFaults(settings), ...sourceFaults(settings));
  faults.push(...modelFaults(settings), ...mlflowFaults(settings), ...tracingFaults(settings));
  faults.push(...trainingFaults(settings, training?.config));
  faults.push(...gcpFaults(settings), ...gkeFaults(settings), ...secretManagerFaults(settings));
  faults.push(...caBundleFaults(root, settings.images.caBundle));
  faults.push(...servedRunFaults(settings, training?.config ?? {}));
  faults.push(
    ...secretFaults(settings, (key) => ({
      isSet: config.get(key) !== undefined,
      isSecret: isConfigSecret(`${config.name}:${key}`),
    })),
  );
  if (faults.length > 0) throw new pulumi.RunError(renderFaults(pulumi.getStack(), faults));
  const secrets = Object.fromEntries(
    SECRET_KEYS.flatMap((key) => {
      const value = config.getSecret(key);
      return value === undefined ? [] : [[key, value]];
    }),
  );
  return { settings, secrets, generated: generatedSecrets(settings), training };
}
