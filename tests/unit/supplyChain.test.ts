import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { resourceRules, stackRules } from "../../policy/rules";
import { npmReport, pipReport } from "../../scripts/auditReport";
import { ROOT } from "../support/program";

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const under = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
    .sort();

interface Job {
  readonly if?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly environment?: string;
  readonly "timeout-minutes"?: number;
  readonly steps: readonly {
    readonly uses?: string;
    readonly with?: Readonly<Record<string, unknown>>;
  }[];
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly concurrency: { readonly group: string; readonly "cancel-in-progress": boolean };
  readonly jobs: Readonly<Record<string, Job>>;
}

const WORKFLOWS = under(".github/workflows");

describe.each(WORKFLOWS)("%s", (file) => {
  const workflow = parse(read(file)) as Workflow;
  const jobs = Object.entries(workflow.jobs);

  test("gives a job only what it needs, in bounded time, one run at a time", () => {
    expect(Object.values(workflow.permissions).filter((right) => right !== "read")).toEqual([]);
    expect(workflow.concurrency.group).not.toBe("");
    for (const [name, job] of jobs) {
      expect({ name, minutes: typeof job["timeout-minutes"] }).toEqual({ name, minutes: "number" });
      const written = Object.entries(job.permissions ?? {}).filter(
        ([, right]) => right === "write",
      );
      const allowed = ["id-token", "pull-requests"];
      expect(written.filter(([scope]) => !allowed.includes(scope))).toEqual([]);
    }
  });

  test("runs no code of a fork with an identity, and names no key", () => {
    expect(Object.keys(workflow.on)).not.toContain("pull_request_target");
    expect(read(file)).not.toMatch(/\bsecrets\.|credentials_json/);
    const own = "github.event.pull_request.head.repo.full_name == github.repository";
    for (const [, job] of jobs) {
      if (job.permissions?.["id-token"] !== "write") continue;
      expect(job.environment).toMatch(/^(preview-\$\{\{ matrix\.stack \}\}|dev|prod)$/);
      if ("pull_request" in workflow.on) expect(job.if).toBe(own);
    }
  });

  test("keeps the token of the checkout out of later steps", () => {
    const checkouts = jobs
      .flatMap(([, { steps }]) => steps)
      .filter(({ uses }) => uses?.startsWith("actions/checkout@"));
    expect(checkouts.length).toBeGreaterThan(0);
    for (const step of checkouts) expect(step.with?.["persist-credentials"]).toBe(false);
  });
});

test("every action of others is pinned by commit, with its version beside it", () => {
  const uses = [...WORKFLOWS, ".github/actions/stack/action.yml"].flatMap((file) =>
    [...read(file).matchAll(/uses: (.+)$/gm)].map(([, action = ""]) => action),
  );
  expect(uses.length).toBeGreaterThan(10);
  const loose = uses.filter(
    (action) => !/^([\w.-]+\/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\.\/\.github\/.+)$/.test(action),
  );
  expect(loose).toEqual([]);
});

test("a pull request is judged by the policies of the branch that it goes to", () => {
  const text = read(".github/workflows/preview.yml");
  expect(text).toContain("ref: ${{ github.event.pull_request.base.sha }}");
  expect(text).toContain("policies: base/policy");
});

describe("updates", () => {
  interface Renovate {
    readonly pip_requirements: { readonly managerFilePatterns: readonly string[] };
    readonly customManagers: readonly {
      readonly managerFilePatterns: readonly string[];
      readonly matchStrings: readonly string[];
    }[];
  }
  const renovate = JSON.parse(read("renovate.json")) as Renovate;
  const matching = (patterns: readonly string[], files: readonly string[]): string[] => {
    const forms = patterns.map((pattern) => new RegExp(pattern.slice(1, -1)));
    return files.filter((file) => forms.some((form) => form.test(file)));
  };

  test("every image's .in file is looked at, and the stack files' base image", () => {
    const inputs = [...under("images"), ...under("local/model"), ...under("scripts")].filter(
      (file) => file.endsWith(".in"),
    );
    expect(matching(renovate.pip_requirements.managerFilePatterns, inputs)).toEqual(inputs);
    const stacks = readdirSync(ROOT).filter((file) => /^Pulumi\.\w+\.yaml$/.test(file));
    const [base] = renovate.customManagers;
    expect(matching(base?.managerFilePatterns ?? [], stacks)).toEqual(stacks);
  });

  test.each(["airgapped", "dev", "prod"])("the base image of %s is named by digest", (stack) => {
    expect(read(`Pulumi.${stack}.yaml`)).toMatch(/^ +baseImage: \S+@sha256:[0-9a-f]{64}$/m);
  });

  test("each pattern finds what it is for", () => {
    const files = [
      "Pulumi.dev.yaml",
      "Pulumi.prod.yaml",
      ".github/workflows/checks.yml",
      ".github/actions/stack/action.yml",
    ];
    const found = renovate.customManagers.map(({ matchStrings, managerFilePatterns }) =>
      matching(managerFilePatterns, files).flatMap((file) =>
        matchStrings.flatMap((form) => {
          const groups = new RegExp(form).exec(read(file))?.groups;
          return groups === undefined ? [] : [groups["depName"] ?? groups["currentValue"]];
        }),
      ),
    );
    const { dependencies } = JSON.parse(read("package.json")) as {
      dependencies: Record<string, string>;
    };
    expect(found).toEqual([
      ["docker.io/library/debian", "docker.io/library/debian"],
      [dependencies["node"], dependencies["node"]],
      [dependencies["@pulumi/pulumi"]],
    ]);
  });
});

describe("licences", () => {
  interface Package {
    readonly license?: string;
    readonly integrity?: string;
  }
  const { packages } = JSON.parse(read("package-lock.json")) as {
    packages: Record<string, Package>;
  };

  /** Licences that ask for no more than their text, or for the source of changed files. */
  const ALLOWED = [
    ...[
      "0BSD",
      "Apache-2.0",
      "BSD-2-Clause",
      "BSD-3-Clause",
      "BlueOak-1.0.0",
      "CC-BY-3.0",
      "CC-BY-4.0",
    ],
    ...["CC0-1.0", "ISC", "MIT", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense"],
  ];

  /** Packages whose lock entry names no licence: its text in the package was read, and is MIT. */
  const READ = ["node_modules/@logdna/tail-file"];

  test("every npm package that is installed here has one that is allowed", () => {
    // Packages of other operating systems stand in the lock file by version only.
    const installed = Object.entries(packages).filter(
      ([path, { integrity }]) => path !== "" && integrity !== undefined,
    );
    expect(installed.length).toBeGreaterThan(500);
    const odd = installed.flatMap(([path, { license = "none named" }]) => {
      const terms = license.replace(/[()]/g, "").split(/ (?:AND|OR) /);
      const ok = terms.every((term) => ALLOWED.includes(term)) || READ.includes(path);
      return ok ? [] : [`${path}: ${license}`];
    });
    expect(odd).toEqual([]);
  });
});

describe("the audit", () => {
  const npm = (vulnerabilities: object): string =>
    JSON.stringify({ metadata: {}, vulnerabilities });
  const fault = (severity: string) => ({ one: { name: "one", range: "<2", severity } });

  test.each([
    ["nothing known", npm({}), { lines: [], fails: false }],
    ["a moderate fault", npm(fault("moderate")), { lines: ["f: one <2: moderate"], fails: false }],
    ["a high fault", npm(fault("high")), { lines: ["f: one <2: high"], fails: true }],
    [
      "an error",
      '{"error":{}}',
      { lines: ["warning: f: no answer about any package"], fails: false },
    ],
    ["no JSON", "", { lines: ["warning: f: no answer about any package"], fails: false }],
  ])("of npm: %s", (_, json, report) => {
    expect(npmReport("f", json)).toEqual(report);
  });

  const pip = (...dependencies: object[]): string => JSON.stringify({ dependencies });
  const faulty = { name: "one", version: "1", vulns: [{ id: "PYSEC-1", fix_versions: ["2"] }] };
  const fine = { name: "two", version: "1", vulns: [] };
  const skipped = { name: "three", skip_reason: "not found on PyPI" };

  test.each([
    ["nothing known", pip(fine), { lines: [], fails: false }],
    ["a fault", pip(fine, faulty), { lines: ["f: one 1: PYSEC-1, mended in 2"], fails: true }],
    [
      "a package that was skipped",
      pip(fine, skipped),
      { lines: ["warning: f: no answer about 1 of 2 packages"], fails: false },
    ],
    ["no JSON", "", { lines: ["warning: f: no answer about any package"], fails: false }],
  ])("of pip: %s", (_, json, report) => {
    expect(pipReport("f", json)).toEqual(report);
  });
});

test("SECURITY.md names files and policies that are there, and leaves no policy out", () => {
  const text = read("SECURITY.md");
  const named = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
  const files = named.filter((code) => /^[\w.-]+\/[\w./-]+\.\w+$/.test(code));
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  const policies = [...resourceRules, ...stackRules].map(({ name }) => name);
  expect(policies.filter((name) => !named.includes(name))).toEqual([]);
});
