import type { Pod } from "./kubernetesTypes.ts";

/** Targets of Prometheus's `file_sd_configs`. */
export interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** The pods that ask to be scraped by the usual annotations `prometheus.io/scrape`, `/port` and `/path`. */
export function scrapeTargets(pods: readonly Pod[]): TargetGroup[] {
  return pods
    .flatMap(({ metadata, spec, status }) => {
      const asked = (name: string): string | undefined =>
        metadata?.annotations?.[`prometheus.io/${name}`];
      const port = asked("port") ?? firstPort(spec);
      if (asked("scrape") !== "true" || port === undefined) return [];
      if (status?.phase !== "Running" || status.podIP === undefined) return [];
      const labels = {
        namespace: metadata?.namespace ?? "",
        pod: metadata?.name ?? "",
        __metrics_path__: asked("path") ?? "/metrics",
      };
      return [{ targets: [`${status.podIP}:${port}`], labels }];
    })
    .sort((one, other) => (key(one) < key(other) ? -1 : 1));
}

function firstPort(spec: Pod["spec"]): string | undefined {
  const ports = (spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  return ports[0] === undefined ? undefined : String(ports[0].containerPort);
}

function key({ labels }: TargetGroup): string {
  return `${labels["namespace"] ?? ""}/${labels["pod"] ?? ""}`;
}
