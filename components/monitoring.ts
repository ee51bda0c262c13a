import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { MonitoredStack } from "../workloads/monitoring/alerts";
import { monitoringObjects } from "../workloads/monitoring/objects";

/** Arguments of {@link Monitoring}. */
export interface MonitoringArgs {
  readonly namespace: pulumi.Input<string>;
  readonly settings: MonitoredStack;
}

/**
 * What shows a stack to Prometheus and Grafana: dashboards and alert rules as ConfigMaps, or rules
 * and monitors as objects of the Prometheus operator. Names are fixed, so that a changed dashboard
 * takes its own place.
 */
export class Monitoring extends pulumi.ComponentResource {
  public constructor(name: string, args: MonitoringArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llmops:index:Monitoring", name, {}, opts);
    const { namespace } = args;
    const { configMaps, operatorObjects } = monitoringObjects(args.settings);
    for (const [object, { labels, data }] of Object.entries(configMaps)) {
      new k8s.core.v1.ConfigMap(
        object,
        { metadata: { name: object, namespace, labels }, data },
        { parent: this },
      );
    }
    for (const [object, { kind, labels, spec }] of Object.entries(operatorObjects)) {
      new k8s.apiextensions.CustomResource(
        object,
        {
          apiVersion: "monitoring.coreos.com/v1",
          kind,
          metadata: { name: object, namespace, labels },
          spec,
        },
        { parent: this },
      );
    }
    this.registerOutputs();
  }
}
