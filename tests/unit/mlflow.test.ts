import { faultsOf } from "../../config/faults";
import { mlflowFaults } from "../../config/mlflowRules";
import { settingsSchema } from "../../config/schema";
import type { SecretKey } from "../../config/secrets";
import { generatedSecrets, secretFaults } from "../../config/secrets";
import type { MlflowPodArgs } from "../../workloads/mlflow";
import { mlflowSpec } from "../../workloads/mlflow";
import { trackingLogin } from "../../workloads/mlflowAuth";
import { gcSpec } from "../../workloads/mlflowGc";
import { networkPolicies } from "../../workloads/network";
import { backupSpec, postgresSpec } from "../../workloads/postgres";
import { settingsOf, validTree } from "../support/settings";

const IMAGE = `registry.test/proxy@sha256:${"0".repeat(64)}`;
const BACKENDS = {
  sqlite: { kind: "sqlite" },
  postgres: { kind: "postgres", backup: {} },
  external: { kind: "external", host: "db.test", cidr: "10.1.0.0/24" },
  cloudsql: { kind: "cloudsql", instance: "acme:europe:runs", image: IMAGE, cidr: "10.2.0.0/24" },
} as const;
const GOOGLE = { gcp: { workloadIdentity: { mlflow: "mlflow@acme.iam.gserviceaccount.com" } } };
const BUCKET = { kind: "gcs", uri: "gs://acme-runs/artifacts" } as const;
const LOGIN = {
  MLFLOW_AUTH_ADMIN_PASSWORD: "auth-1",
  MLFLOW_FLASK_SERVER_SECRET_KEY: "auth-1",
};

const settings = (mlflow: object, change: object = {}) =>
  settingsOf({ ...validTree(), namespace: "ns", ...change, mlflow });

const podArgs = (mlflow: object, change: Partial<MlflowPodArgs> = {}): MlflowPodArgs => ({
  settings: settings(mlflow).mlflow,
  namespace: "ns",
  image: "r/mlflow@sha256:0",
  claim: "mlflow-pvc",
  secrets: { MLFLOW_DB_PASSWORD: "db-1" },
  identity: false,
  pullSecrets: [],
  registersUrls: false,
  ...change,
});

interface Container {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly volumeMounts: readonly { readonly name: string }[];
}

interface Pod {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: {
    readonly affinity?: object;
    readonly initContainers?: readonly Container[];
    readonly containers: readonly [Container];
    readonly volumes: readonly { readonly name: string }[];
  };
}

const pod = (args: MlflowPodArgs): Pod => mlflowSpec(args).template as unknown as Pod;

/** The word after an option. */
const after = (args: readonly string[], option: string) => args[args.indexOf(option) + 1];

const PASSWORD = {
  name: "PGPASSWORD",
  valueFrom: { secretKeyRef: { name: "db-1", key: "MLFLOW_DB_PASSWORD" } },
};

describe("the database of MLflow", () => {
  test.each<[keyof typeof BACKENDS, string, object[]]>([
    ["sqlite", "sqlite:////mlflow/mlflow.db", []],
    [
      "postgres",
      "postgresql+psycopg2://mlflow@mlflow-postgres.ns.svc:5432/mlflow",
      [{ name: "PGSSLMODE", value: "disable" }, PASSWORD],
    ],
    [
      "external",
      "postgresql+psycopg2://mlflow@db.test:5432/mlflow",
      [
        { name: "PGSSLMODE", value: "verify-full" },
        { name: "PGSSLROOTCERT", value: "/etc/ssl/certs/ca-certificates.crt" },
        PASSWORD,
      ],
    ],
    [
      "cloudsql",
      "postgresql+psycopg2://mlflow@127.0.0.1:5432/mlflow",
      [{ name: "PGSSLMODE", value: "disable" }, PASSWORD],
    ],
  ])(
    "%s: one address for the server and its migration, the password by reference",
    (kind, uri, env) => {
      const { initContainers = [], containers } = pod(podArgs({ backend: BACKENDS[kind] })).spec;
      const [server] = containers;
      expect(after(server.args, "--backend-store-uri")).toBe(uri);
      const migrate = initContainers.at(-1);
      expect(migrate).toMatchObject({ name: "migrate", args: ["migrate", uri] });
      for (const container of [server, migrate]) {
        expect(container?.env.filter(({ name }) => name.startsWith("PG"))).toEqual(env);
      }
    },
  );

  test("Cloud SQL: the proxy is a sidecar that is ready before the migration starts", () => {
    const { initContainers = [] } = pod(podArgs({ backend: BACKENDS.cloudsql })).spec;
    expect(initContainers.map(({ name }) => name)).toEqual(["cloud-sql-proxy", "migrate"]);
    expect(initContainers[0]).toMatchObject({ image: IMAGE, restartPolicy: "Always" });
    expect(initContainers[0]?.args.slice(-2)).toEqual(["--private-ip", "acme:europe:runs"]);
    const byPublicAddress = { backend: { ...BACKENDS.cloudsql, privateIp: false } };
    const open = pod(podArgs(byPublicAddress)).spec.initContainers;
    expect(open?.[0]?.args).not.toContain("--private-ip");
  });

  test("pods end before the next ones start, whatever their number", () => {
    expect(mlflowSpec(podArgs({}))).toMatchObject({ replicas: 1, strategy: { type: "Recreate" } });
    const many = podArgs({ backend: BACKENDS.external, artifacts: BUCKET, replicas: 3 });
    expect(mlflowSpec(many)).toMatchObject({ replicas: 3, strategy: { type: "Recreate" } });
  });
});

describe("artifacts in a bucket", () => {
  const bucket = { backend: BACKENDS.external, artifacts: BUCKET };

  test("go through the server, which needs no claim", () => {
    const { spec } = pod(podArgs(bucket, { claim: undefined, identity: true }));
    expect(after(spec.containers[0].args, "--artifacts-destination")).toBe(BUCKET.uri);
    expect(spec.containers[0].args).toContain("--serve-artifacts");
    expect(spec.volumes.map(({ name }) => name)).toEqual(["tmp"]);
  });

  test("are reached with a key file where the pods have no identity", () => {
    const { spec } = pod(podArgs(bucket, { claim: undefined, secrets: { GCS_KEY: "gcs-1" } }));
    expect(spec.volumes.map(({ name }) => name)).toEqual(["gcs-key", "tmp"]);
    expect(spec.containers[0].env).toContainEqual({
      name: "GOOGLE_APPLICATION_CREDENTIALS",
      value: "/var/run/secrets/gcs/key.json",
    });
    expect(JSON.stringify(spec.initContainers)).not.toContain("gcs-key");
  });
});

describe("user names and passwords", () => {
  const auth = { auth: { enabled: true } };

  test("without them the pod has nothing of them", () => {
    const { metadata, spec } = pod(podArgs({}));
    expect(metadata).not.toHaveProperty("annotations");
    expect(JSON.stringify(spec)).not.toMatch(/auth/i);
    expect(trackingLogin({})).toEqual([]);
  });

  test("the users are beside the runs, and every secret is a reference", () => {
    const { metadata, spec } = pod(podArgs(auth, { secrets: LOGIN }));
    expect(metadata.annotations?.["llmops.dev/mlflow-auth"]).toContain(
      "database_uri = sqlite:////mlflow/basic_auth.db\nadmin_username = admin\n",
    );
    expect(spec.containers[0].args.slice(-2)).toEqual(["--app-name", "basic-auth"]);
    expect(spec.initContainers?.[0]?.args.slice(-2)).toEqual([
      "--users",
      "sqlite:////mlflow/basic_auth.db",
    ]);
    for (const { env } of [...spec.containers, ...(spec.initContainers ?? [])]) {
      expect(env.slice(-3)).toEqual([
        { name: "MLFLOW_AUTH_CONFIG_PATH", value: "/app/auth/basic_auth.ini" },
        ...Object.entries(LOGIN).map(([key, name]) => ({
          name: key,
          valueFrom: { secretKeyRef: { name, key } },
        })),
      ]);
    }
  });

  test("the users are in the database server, where there is one", () => {
    const args = podArgs({ ...auth, backend: BACKENDS.external }, { secrets: LOGIN });
    expect(pod(args).metadata.annotations?.["llmops.dev/mlflow-auth"]).toContain(
      "database_uri = postgresql+psycopg2://mlflow@db.test:5432/mlflow\n",
    );
  });

  test("clients log in by reference", () => {
    expect(trackingLogin(LOGIN)).toEqual([
      { name: "MLFLOW_TRACKING_USERNAME", value: "admin" },
      {
        name: "MLFLOW_TRACKING_PASSWORD",
        valueFrom: { secretKeyRef: { name: "auth-1", key: "MLFLOW_AUTH_ADMIN_PASSWORD" } },
      },
    ]);
  });
});

describe("garbage collection", () => {
  const gc = { schedule: "45 3 * * 0", olderThanDays: 30 };
  const gcPod = (mlflow: object, change: Partial<MlflowPodArgs> = {}): Pod => {
    const spec = gcSpec(podArgs(mlflow, change), gc) as unknown as {
      readonly jobTemplate: { readonly spec: { readonly template: Pod } };
    };
    return spec.jobTemplate.spec.template;
  };

  test("asks the server for the artifacts, and logs in", () => {
    const [container] = gcPod({ auth: { enabled: true } }, { secrets: LOGIN }).spec.containers;
    expect(container.args).toEqual([
      "gc",
      "--backend-store-uri",
      "sqlite:////mlflow/mlflow.db",
      "--older-than",
      "30d",
    ]);
    expect(container.env).toEqual(
      expect.arrayContaining([
        { name: "MLFLOW_TRACKING_URI", value: "http://mlflow.ns.svc:5000" },
        ...trackingLogin(LOGIN),
      ]),
    );
  });

  test("with SQLite it mounts the claim, beside the server; with a database server it does not", () => {
    const sqlite = gcPod({}).spec;
    expect(sqlite.volumes.map(({ name }) => name)).toEqual(["store", "tmp"]);
    expect(JSON.stringify(sqlite.affinity)).toContain('"topologyKey":"kubernetes.io/hostname"');
    const external = gcPod({ backend: BACKENDS.external }).spec;
    expect(external.volumes.map(({ name }) => name)).toEqual(["tmp"]);
    expect(external.affinity).toBeUndefined();
  });

  test("one at a time, by UTC, an hour at most", () => {
    expect(gcSpec(podArgs({}), gc)).toMatchObject({
      schedule: "45 3 * * 0",
      timeZone: "Etc/UTC",
      concurrencyPolicy: "Forbid",
      jobTemplate: { spec: { backoffLimit: 1, activeDeadlineSeconds: 3600 } },
    });
  });
});

describe("Postgres in the cluster", () => {
  const { mlflow } = settings({ backend: BACKENDS.postgres });
  if (mlflow.backend.kind !== "postgres") throw new Error("the backend is Postgres");
  const args = {
    settings: mlflow.backend,
    placement: mlflow.placement,
    image: "r/postgres@sha256:0",
    claim: "mlflow-database-pvc",
    secret: "db-1",
    pullSecrets: [],
  };

  test("one pod that writes to its claim and /tmp only, with its password in a file", () => {
    expect(postgresSpec(args)).toMatchObject({
      replicas: 1,
      podManagementPolicy: "Parallel",
      template: {
        spec: {
          serviceAccountName: "llmops-postgres",
          containers: [
            {
              args: ["serve", "--password-file", "/var/run/secrets/postgres/password"],
              securityContext: {
                allowPrivilegeEscalation: false,
                capabilities: { drop: ["ALL"] },
                readOnlyRootFilesystem: true,
              },
              readinessProbe: { exec: { command: expect.arrayContaining(["pg_isready"]) } },
              livenessProbe: { tcpSocket: { port: "postgres" } },
            },
          ],
          volumes: [
            { name: "data", persistentVolumeClaim: { claimName: "mlflow-database-pvc" } },
            { name: "password", secret: { secretName: "db-1", defaultMode: 0o440 } },
            { name: "tmp", emptyDir: {} },
          ],
        },
      },
    });
    expect(JSON.stringify(postgresSpec(args))).not.toContain("secretKeyRef");
  });

  test("a dump reaches the server with the password by reference", () => {
    const backup = { ...args, claim: "mlflow-backup-pvc" };
    expect(backupSpec(backup, { schedule: "15 2 * * *", keep: 7 })).toMatchObject({
      schedule: "15 2 * * *",
      concurrencyPolicy: "Forbid",
      jobTemplate: {
        spec: {
          template: {
            metadata: { labels: { "app.kubernetes.io/instance": "mlflow-backup" } },
            spec: {
              containers: [
                {
                  args: ["backup"],
                  env: [
                    { name: "PGHOST", value: "mlflow-postgres" },
                    { name: "PGPORT", value: "5432" },
                    { name: "PGUSER", value: "mlflow" },
                    { name: "LLMOPS_DATABASE", value: "mlflow" },
                    { name: "LLMOPS_BACKUP_FOLDER", value: "/backup" },
                    { name: "LLMOPS_BACKUP_KEEP", value: "7" },
                    PASSWORD,
                  ],
                },
              ],
            },
          },
        },
      },
    });
  });
});

describe("who reaches what", () => {
  const policies = (mlflow: object, change: object = {}) =>
    networkPolicies(settings(mlflow, change));
  const COMMON = ["allow-dns", "default-deny", "inference", "mlflow", "training-to-mlflow"];
  const own = (mlflow: object, change: object = {}) =>
    Object.keys(policies(mlflow, change)).filter((name) => !COMMON.includes(name));
  const pods = (component: string, instance?: string) => ({
    podSelector: {
      matchLabels: {
        "app.kubernetes.io/component": component,
        ...(instance === undefined ? {} : { "app.kubernetes.io/instance": instance }),
      },
    },
  });

  test.each<[string, object, object, string[]]>([
    ["SQLite", {}, {}, []],
    ["Postgres", { backend: { kind: "postgres" } }, {}, ["postgres", "mlflow-to-postgres"]],
    [
      "Postgres with dumps",
      { backend: BACKENDS.postgres },
      {},
      ["postgres", "mlflow-to-postgres", "backup-to-postgres"],
    ],
    ["a server outside", { backend: BACKENDS.external }, {}, ["mlflow-to-database"]],
    [
      "Cloud SQL",
      { backend: BACKENDS.cloudsql },
      GOOGLE,
      ["mlflow-to-database", "mlflow-to-repositories", "mlflow-to-metadata-server"],
    ],
    ["a bucket by key", { artifacts: BUCKET }, {}, ["mlflow-to-repositories"]],
    ["garbage collection", { gc: {} }, {}, ["mlflow-gc-to-mlflow"]],
  ])("%s", (_, mlflow, change, names) => {
    expect(own(mlflow, change)).toEqual(names);
  });

  test("Postgres is open to MLflow's pods and the dumps, on its port, and to nothing else", () => {
    expect(policies({ backend: BACKENDS.postgres })["postgres"]).toEqual({
      ...pods("postgres"),
      policyTypes: ["Ingress"],
      ingress: [
        {
          from: [pods("mlflow"), pods("postgres", "mlflow-backup")],
          ports: [{ protocol: "TCP", port: 5432 }],
        },
      ],
    });
  });

  test.each([
    ["external", "10.1.0.0/24", 5432],
    ["cloudsql", "10.2.0.0/24", 3307],
  ] as const)("%s: only its address and port", (kind, cidr, port) => {
    expect(policies({ backend: BACKENDS[kind] })["mlflow-to-database"]).toEqual({
      ...pods("mlflow"),
      policyTypes: ["Egress"],
      egress: [{ to: [{ ipBlock: { cidr } }], ports: [{ protocol: "TCP", port }] }],
    });
  });

  test("garbage collection calls MLflow", () => {
    const ingress = policies({ gc: {} })["mlflow"]?.ingress as readonly { from: object[] }[];
    expect(ingress[0]?.from).toContainEqual(pods("mlflow", "mlflow-gc"));
  });
});

test.each<[string, object, string, string]>([
  [
    "a schedule that is none",
    { gc: { schedule: "daily" } },
    "mlflow.gc.schedule",
    'a cron schedule of five fields, in UTC, such as "15 2 * * *"',
  ],
  [
    "an image by tag",
    { backend: { ...BACKENDS.postgres, image: "postgres:15" } },
    "mlflow.backend.image",
    "an image pinned by digest: name@sha256:<64 hex digits>",
  ],
  [
    "a server without its address range",
    { backend: { kind: "external", host: "db.test" } },
    "mlflow.backend.cidr",
    "a string",
  ],
  [
    "a password in the host",
    { backend: { ...BACKENDS.external, host: "me:secret@db" } },
    "mlflow.backend.host",
    "a host name or address",
  ],
  [
    "an instance that is no connection name",
    { backend: { ...BACKENDS.cloudsql, instance: "runs" } },
    "mlflow.backend.instance",
    "a connection name, project:region:instance",
  ],
  [
    "dumps that keep nothing",
    { backend: { kind: "postgres", backup: { keep: 0 } } },
    "mlflow.backend.backup.keep",
    "at least 1",
  ],
  [
    "another backend",
    { backend: { kind: "mysql" } },
    "mlflow.backend.kind",
    "sqlite | postgres | external | cloudsql",
  ],
])("%s is refused", (_, mlflow, key, allowed) => {
  const tree = { ...validTree(), mlflow };
  const { error } = settingsSchema.safeParse(tree);
  if (error === undefined) throw new Error("the tree has a fault");
  expect(faultsOf(error, tree)).toEqual([expect.objectContaining({ key, allowed })]);
});

describe("settings that contradict each other", () => {
  const claim = (accessMode: string) => ({ volume: { kind: "storageClass" }, accessMode });
  const storage = (change: object) => ({
    storage: { modelOutput: { volume: { kind: "storageClass" } }, ...change },
  });
  const faults = (mlflow: object, change: object = {}) => mlflowFaults(settings(mlflow, change));

  test.each<[string, object, object, string[]]>([
    ["SQLite without a claim", {}, storage({}), ["storage.mlflow"]],
    ["artifacts without a claim", { backend: BACKENDS.external }, storage({}), ["storage.mlflow"]],
    ["nothing on a volume", { backend: BACKENDS.external, artifacts: BUCKET }, storage({}), []],
    [
      "Postgres without claims",
      { backend: BACKENDS.postgres },
      {},
      ["storage.mlflowDatabase", "storage.mlflowBackup"],
    ],
    ["two servers on SQLite", { replicas: 2 }, {}, ["mlflow.replicas"]],
    [
      "two servers on a disk of one node",
      { backend: BACKENDS.external, replicas: 2 },
      storage({ mlflow: claim("ReadWriteOnce") }),
      ["mlflow.replicas"],
    ],
    [
      "two servers on a shared disk",
      { backend: BACKENDS.external, replicas: 2 },
      storage({ mlflow: claim("ReadWriteMany") }),
      [],
    ],
    ["Cloud SQL as nobody", { backend: BACKENDS.cloudsql }, {}, ["gcp.workloadIdentity.mlflow"]],
    ["Cloud SQL as somebody", { backend: BACKENDS.cloudsql }, GOOGLE, []],
  ])("%s", (_, mlflow, change, keys) => {
    expect(faults(mlflow, change).map(({ key }) => key)).toEqual(keys);
  });

  test("each fault says what is allowed and the command that mends it", () => {
    expect(faults({ replicas: 2 })).toEqual([
      {
        key: "mlflow.replicas",
        got: "2 with mlflow.backend.kind sqlite",
        allowed: "1: SQLite has one writer; or a database server",
        fix: "pulumi config set --path 'llmops:mlflow.replicas' '1'",
      },
    ]);
  });
});

describe("secrets of MLflow", () => {
  const missing = (mlflow: object, change: object = {}): SecretKey[] =>
    secretFaults(settings(mlflow, change), () => ({ isSet: false, isSecret: false })).map(
      ({ key }) => key as SecretKey,
    );

  test.each<[string, object, object, SecretKey[]]>([
    ["Postgres in the cluster", { backend: BACKENDS.postgres }, {}, []],
    ["a server outside", { backend: BACKENDS.external }, {}, ["MLFLOW_DB_PASSWORD"]],
    ["Cloud SQL", { backend: BACKENDS.cloudsql }, GOOGLE, ["MLFLOW_DB_PASSWORD"]],
    ["a bucket", { artifacts: BUCKET }, {}, ["GCS_KEY"]],
    ["a bucket by identity", { artifacts: BUCKET }, GOOGLE, []],
  ])("%s", (_, mlflow, change, keys) => {
    expect(missing(mlflow, change)).toEqual(keys);
  });

  test("generated are those that only this stack uses", () => {
    expect(generatedSecrets(settings({}))).toEqual([]);
    expect(generatedSecrets(settings({ backend: BACKENDS.external }))).toEqual([]);
    const all = { backend: BACKENDS.postgres, auth: { enabled: true } };
    expect(generatedSecrets(settings(all))).toEqual([
      "MLFLOW_DB_PASSWORD",
      "MLFLOW_AUTH_ADMIN_PASSWORD",
      "MLFLOW_FLASK_SERVER_SECRET_KEY",
    ]);
    expect(generatedSecrets(settingsOf({ ...validTree(), board: { enabled: true } }))).toEqual([
      "BOARD_PASSWORD",
    ]);
  });
});

test("a version may have a URL as its source where models are published to Artifactory", () => {
  const schemes = (registersUrls: boolean): unknown =>
    pod(podArgs({}, { registersUrls })).spec.containers[0].env.find(
      ({ name }) => name === "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES",
    )?.value;
  expect([schemes(true), schemes(false)]).toEqual(["http,https", undefined]);
});
