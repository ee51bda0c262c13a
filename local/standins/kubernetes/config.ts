import { parse } from "yaml";
import { changesBetween } from "../diff.ts";
import type { Difference } from "../provider.ts";
import { at, isUnknown, revealProps, stringAt, type Json, type Props, asText } from "../values.ts";
import type { Choice } from "./kubeconfig.ts";

/** The provider's settings that the stand-in knows. */
export interface Settings extends Choice {
  readonly namespace: string | undefined;
  readonly renderTo: string | undefined;
  readonly alwaysRender: boolean;
  readonly configMapsMutable: boolean;
  readonly secretsMutable: boolean;
  readonly forcePatches: boolean;
  readonly upsert: boolean;
}

const known = [
  "alwaysRender",
  "cluster",
  "clusterIdentifier",
  "context",
  "deleteUnreachable",
  "enableConfigMapMutable",
  "enablePatchForce",
  "enableSecretMutable",
  "enableServerSideApply",
  "kubeconfig",
  "namespace",
  "renderYamlToDirectory",
  "skipUpdateUnreachable",
  "suppressDeprecationWarnings",
  "suppressHelmHookWarnings",
  "upsertExistingObjects",
  "version",
];
const refused: Readonly<Record<string, string>> = {
  deleteUnreachable: "true",
  enableServerSideApply: "false",
  skipUpdateUnreachable: "true",
};

/** Reads the provider's settings, which arrive as strings. */
export function settingsOf(config: Props): Settings {
  const plain = revealProps(config);
  for (const [key, value] of Object.entries(plain)) {
    if (!key.startsWith("__") && (!known.includes(key) || asText(value) === refused[key])) {
      throw new Error(`the kubernetes stand-in does not do ${key}: ${asText(value)}`);
    }
  }
  const flag = (key: string, variable: string): boolean =>
    asText(plain[key] ?? process.env[variable] ?? "false") === "true";
  return {
    kubeconfig: stringAt(plain, "kubeconfig"),
    context: stringAt(plain, "context"),
    cluster: stringAt(plain, "cluster"),
    namespace: stringAt(plain, "namespace"),
    renderTo: stringAt(plain, "renderYamlToDirectory"),
    alwaysRender: flag("alwaysRender", ""),
    configMapsMutable: flag("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
    secretsMutable: flag("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
    forcePatches: flag("enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
    upsert: flag("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
  };
}

/** The settings of the cluster that the kubeconfig's contents make active, as far as they are given inline. */
function activeCluster(config: Props): Json {
  const text = stringAt(config, "kubeconfig");
  if (text === undefined || !(text.includes("\n") || text.startsWith("{"))) {
    return [text ?? null, config["context"] ?? null, config["cluster"] ?? null];
  }
  const parsed = parse(text) as Json;
  const named = (list: string, name: Json | undefined): Json | undefined => {
    const items = at(parsed, list);
    return Array.isArray(items) ? items.find((item) => at(item, "name") === name) : undefined;
  };
  const context = named("contexts", config["context"] ?? at(parsed, "current-context"));
  const cluster = config["cluster"] ?? at(context, "context", "cluster");
  return at(named("clusters", cluster), "cluster") ?? null;
}

/** Another cluster or render folder replaces the provider, and with it everything in it; the rest updates it. */
export function settingsDifference(olds: Props, news: Props): Difference {
  const before = revealProps(olds);
  const after = revealProps(news);
  const changes = changesBetween(before, after);
  const changed = (key: string) => changes.filter((change) => change.path[0] === key);
  const renders = changed("renderYamlToDirectory");
  const identified = before["clusterIdentifier"] !== undefined;
  if (identified && after["clusterIdentifier"] !== undefined) {
    const other = before["clusterIdentifier"] !== after["clusterIdentifier"];
    return { changes, replaces: other ? changed("clusterIdentifier") : [] };
  }
  const where = ["kubeconfig", "context", "cluster"];
  const unknown = where.some((key) => isUnknown(after[key]));
  const moved =
    unknown ||
    changesBetween({ at: activeCluster(before) }, { at: activeCluster(after) }).length > 0;
  return { changes, replaces: moved ? [...where.flatMap(changed), ...renders] : renders };
}
