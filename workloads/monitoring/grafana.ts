/** A line of a panel. */
export interface Query {
  readonly expr: string;
  /** Name in the legend; a template of Grafana such as `{{pod}}`. */
  readonly legend: string;
}

/** Units of Grafana that the dashboards use. */
export type Unit =
  | "short"
  | "s"
  | "percent"
  | "percentunit"
  | "reqps"
  | "bytes"
  | "mbytes"
  | "watt"
  | "celsius"
  | "hertz"
  | "dateTimeAsIso";

/** A panel. */
export interface Panel {
  readonly title: string;
  /** What it shows, and what to think of it. */
  readonly description: string;
  readonly unit: Unit;
  readonly queries: readonly Query[];
  /** `stat` shows the last value as a number. @default timeseries */
  readonly type?: "timeseries" | "stat";
}

/** A variable that the dashboard's viewer chooses values of. */
export interface Variable {
  readonly name: string;
  readonly label: string;
  /** PromQL of the series whose label gives the values. */
  readonly series: string;
  readonly from: string;
}

/** A dashboard: panels in the order in which they are read. */
export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly variables: readonly Variable[];
  readonly panels: readonly Panel[];
}

const DATASOURCE = { type: "prometheus", uid: "${datasource}" } as const;

const COLUMNS = 3;
/** Grafana's grid is 24 wide. */
const WIDTH = 24 / COLUMNS;
const HEIGHT = 8;

function panelJson({ title, description, unit, queries, type }: Panel, index: number): object {
  return {
    id: index + 1,
    type: type ?? "timeseries",
    title,
    description,
    datasource: DATASOURCE,
    gridPos: {
      x: (index % COLUMNS) * WIDTH,
      y: Math.floor(index / COLUMNS) * HEIGHT,
      w: WIDTH,
      h: HEIGHT,
    },
    fieldConfig: { defaults: { unit, min: unit === "dateTimeAsIso" ? null : 0 }, overrides: [] },
    targets: queries.map(({ expr, legend }, number) => ({
      refId: String.fromCharCode("A".charCodeAt(0) + number),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
    })),
  };
}

function variableJson({ name, label, series, from }: Variable): object {
  const query = `label_values(${series}, ${from})`;
  return {
    type: "query",
    name,
    label,
    datasource: DATASOURCE,
    definition: query,
    query: { query, refId: name },
    refresh: 2,
    multi: true,
    includeAll: true,
    allValue: ".*",
    current: { text: "All", value: "$__all" },
  };
}

/** The JSON of a dashboard as Grafana imports it. The viewer chooses the data source. */
export function dashboardJson({ uid, title, variables, panels }: Dashboard): string {
  const json = {
    uid,
    title,
    tags: ["llmops"],
    schemaVersion: 39,
    editable: false,
    time: { from: "now-3h", to: "now" },
    refresh: "30s",
    graphTooltip: 1,
    templating: {
      list: [
        { type: "datasource", name: "datasource", label: "Data source", query: "prometheus" },
        ...variables.map(variableJson),
      ],
    },
    panels: panels.map(panelJson),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}
