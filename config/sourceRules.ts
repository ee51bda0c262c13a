import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { ModelSettings } from "./models";
import type { Settings } from "./schema";
import type { ModelSource } from "./sources";
import { ARCHIVE, isDownloaded } from "./sources";
import { downloads } from "./training";
import { hasIdentity, usedSources } from "./usedSources";

type Rule = (settings: Settings) => readonly Fault[];

/** The claim that a model is read from; a mounted bucket needs none. */
function claimOf(
  source: ModelSource,
  { hubCache }: Settings["storage"],
): "modelOutput" | "hubCache" | undefined {
  if (source.kind === "gcs" && source.access === "mount") return undefined;
  return isDownloaded(source) && hubCache !== undefined ? "hubCache" : "modelOutput";
}

/** The claim that compiled code is kept on. */
const keptOn = ({ compileCache }: Settings["storage"]): "modelOutput" | "compileCache" =>
  compileCache === undefined ? "modelOutput" : "compileCache";

/** The first claim of a model's pods that only one node at a time can mount. */
function oneNodeClaim(
  { source, adapters, compileCache }: ModelSettings,
  storage: Settings["storage"],
): "modelOutput" | "hubCache" | "compileCache" | undefined {
  const read = [source, ...adapters.map((each) => each.source)];
  return [
    ...read.map((each) => claimOf(each, storage)),
    ...(compileCache ? [keptOn(storage)] : []),
  ].find((name) => {
    const claim = name && storage[name];
    return claim?.accessMode === "ReadWriteOnce" && claim.volume.kind !== "hostPath";
  });
}

const sharedVolume: Rule = ({ models, storage }) =>
  models.flatMap((model, index) => {
    const { replicas, surge } = model;
    const name = oneNodeClaim(model, storage);
    if (name === undefined) return [];
    const key = `models[${String(index)}]`;
    const many = replicas.max > 1 ? `replicas.max ${String(replicas.max)}` : undefined;
    const reason = many ?? (surge ? "surge true" : undefined);
    return reason === undefined
      ? []
      : [
          {
            key: many === undefined ? `${key}.surge` : `${key}.replicas.max`,
            got: `${reason} on a ReadWriteOnce claim, which only one node can mount`,
            allowed: "one pod at a time, or a claim that several nodes can mount",
            fix: setCommand(`storage.${name}.accessMode`, "ReadWriteMany"),
          },
        ];
  });

/** The training pod mounts both claims, and a hostPath ties it to a node. */
const oneNode: Rule = ({ storage: { modelOutput, hubCache }, training }) => {
  if (training === undefined || !downloads(training)) return [];
  const output = modelOutput.volume;
  const cache = hubCache?.volume;
  if (output.kind !== "hostPath" || cache?.kind !== "hostPath") return [];
  if (output.node === cache.node) return [];
  const key = "storage.hubCache.volume.node";
  return [
    {
      key,
      got: `"${cache.node}", but storage.modelOutput is on "${output.node}"`,
      allowed: "one node: the training pod mounts both",
      fix: setCommand(key, output.node),
    },
  ];
};

const mountedBuckets: Rule = (settings) =>
  usedSources(settings).flatMap(({ key, role, source }) => {
    if (source.kind !== "gcs" || source.access !== "mount") return [];
    const identity = `gcp.workloadIdentity.${role}`;
    const faults: Fault[] = [];
    if (!hasIdentity(settings, role)) {
      faults.push({
        key: `${key}.access`,
        got: `"mount" without ${identity}`,
        allowed: "a Google service account for the pods: the driver takes no key file; or download",
        fix: setCommand(identity, "<name>@<project>.iam.gserviceaccount.com"),
      });
    }
    for (const name of ["endpoint", "anonymous"] as const) {
      const value = source[name];
      if (value === undefined || value === false) continue;
      faults.push({
        key: `${key}.${name}`,
        got: `${JSON.stringify(value)} with access mount`,
        allowed: "only with access download",
        fix: removeCommand(`${key}.${name}`),
      });
    }
    return faults;
  });

const checksums: Rule = (settings) =>
  usedSources(settings).flatMap(({ key, source }) => {
    if (source.kind !== "artifactory" || source.sha256 === undefined) return [];
    if (ARCHIVE.test(source.path)) return [];
    return [
      {
        key: `${key}.sha256`,
        got: `a checksum of the folder "${source.path}"`,
        allowed: "only for an archive: .zip, .tar, .tar.gz, .tgz or .tar.zst",
        fix: removeCommand(`${key}.sha256`),
      },
    ];
  });

const registeredModel: Rule = ({ training }) => {
  if (training?.registeredModel === undefined) return [];
  const missing = [
    ...(training.publish === undefined ? ["training.publish"] : []),
    ...(training.tracking.mlflow ? [] : ["training.tracking.mlflow"]),
  ];
  if (missing.length === 0) return [];
  return [
    {
      key: "training.registeredModel",
      got: `"${training.registeredModel}" without ${missing.join(" and ")}`,
      allowed: "only for runs that are published and tracked in MLflow",
      fix: removeCommand("training.registeredModel"),
    },
  ];
};

const RULES: readonly Rule[] = [sharedVolume, oneNode, mountedBuckets, checksums, registeredModel];

/** Faults of model sources and publishing that only several settings together show. */
export function sourceFaults(settings: Settings): Fault[] {
  return RULES.flatMap((rule) => rule(settings));
}
