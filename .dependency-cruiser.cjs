/** Data flows one way: config → workloads → components → index.ts. */
const never = (name, from, to) => ({
  name,
  severity: "error",
  from: { path: from },
  to: { path: to },
});

module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    never("config-knows-nothing-right-of-it", "^config/", "^(workloads|components|index)"),
    never("workloads-know-config-only", "^workloads/", "^(components|index)"),
    never("components-do-not-know-the-program", "^components/", "^index"),
    {
      name: "only-load-reads-pulumi-config",
      severity: "error",
      from: { path: "^(config|workloads)/", pathNot: "^(config/load|workloads/source)" },
      to: { path: "node_modules/@pulumi/pulumi/", dependencyTypesNot: ["type-only"] },
    },
    never(
      "the-program-does-not-know-its-stand-ins",
      "^(config|workloads|components|index)",
      "^local/",
    ),
    never("policies-judge-by-themselves", "^policy/", "^(config|workloads|components|index|local)"),
    never("nothing-imports-policies", "^(config|workloads|components|index|local)", "^policy/"),
    never("nothing-imports-tests", "^(config|workloads|components|index|local|policy)", "^tests/"),
    never("bench-only-measures", "^(config|workloads|components|index|local)", "^bench/"),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)(node_modules|rendered|\\.local)/" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
  },
};
