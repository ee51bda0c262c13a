import type * as pulumi from "@pulumi/pulumi";
import type { MlflowArgs } from "../../components/mlflow";
import { Mlflow } from "../../components/mlflow";
import type { Registered } from "../support/program";
import { runProgram } from "../support/program";
import { settingsOf, validTree } from "../support/settings";

const CLAIMS = {
  mlflow: "mlflow-pvc",
  mlflowDatabase: "mlflow-database-pvc",
  mlflowBackup: "mlflow-backup-pvc",
};

async function children(
  mlflow: object,
  change: Partial<MlflowArgs> = {},
): Promise<readonly Registered[]> {
  const { resources } = await runProgram({ stack: "test", settings: {} }, () => {
    new Mlflow("mlflow", {
      namespace: "ns",
      settings: settingsOf({ ...validTree(), mlflow }),
      images: { mlflow: "r/m@sha256:0", postgres: "r/p@sha256:0" },
      claims: CLAIMS,
      secrets: { MLFLOW_DB_PASSWORD: "db-1" },
      ...change,
    });
    return Promise.resolve({});
  });
  return resources;
}

const summary = (resources: readonly Registered[]) =>
  resources
    .filter(({ type }) => !type.startsWith("llmops:"))
    .map(({ type, name, parent }) => `${type.split(":").at(-1) ?? ""} ${name} < ${parent ?? "-"}`);

test("with SQLite: a Deployment and its Service", async () => {
  expect(summary(await children({}))).toEqual([
    "Deployment mlflow < mlflow",
    "Service mlflow-service < mlflow",
  ]);
});

test("with Postgres, its dumps and garbage collection: each by its own name", async () => {
  const made = await children({ backend: { kind: "postgres", backup: {} }, gc: {} });
  expect(summary(made)).toEqual([
    "Deployment mlflow < mlflow",
    "StatefulSet mlflow-postgres < mlflow-postgres",
    "CronJob mlflow-gc < mlflow",
    "CronJob mlflow-postgres-backup < mlflow-postgres",
    "Service mlflow-postgres-service < mlflow-postgres",
    "Service mlflow-service < mlflow",
  ]);
  const names = made.map(
    ({ inputs }) => (inputs["metadata"] as { name?: string } | undefined)?.name,
  );
  expect(names.filter((name) => name !== undefined)).toEqual([
    "mlflow",
    "mlflow-postgres",
    "mlflow-gc",
    "mlflow-backup",
    "mlflow-postgres",
    "mlflow",
  ]);
});

test("MLflow starts only when Postgres is there, and goes before it", async () => {
  const made = await children({ backend: { kind: "postgres" } });
  const deployment = made.find(({ type }) => type.endsWith(":Deployment"));
  const waitsFor = [deployment?.opts.dependsOn].flat() as (pulumi.Resource & { __name: string })[];
  expect(waitsFor.map(({ __name }) => __name)).toEqual(["mlflow-postgres"]);
});

test("the dumps are written to their own claim, the data to another", async () => {
  const made = await children({ backend: { kind: "postgres", backup: {} } });
  const text = (kind: string) =>
    JSON.stringify(made.find(({ type }) => type.endsWith(`:${kind}`))?.inputs);
  expect(text("StatefulSet")).toContain('"claimName":"mlflow-database-pvc"');
  expect(text("CronJob")).toContain('"claimName":"mlflow-backup-pvc"');
});

test.each<[string, object, Partial<MlflowArgs>, string, string]>([
  [
    "the claim of SQLite",
    {},
    { claims: { ...CLAIMS, mlflow: undefined } },
    "claims.mlflow",
    "SQLite and artifacts need the claim mlflow-pvc",
  ],
  [
    "the claim of Postgres",
    { backend: { kind: "postgres" } },
    { claims: { ...CLAIMS, mlflowDatabase: undefined } },
    "claims.mlflowDatabase",
    "Postgres needs the claim mlflow-database-pvc",
  ],
  [
    "the claim of the dumps",
    { backend: { kind: "postgres", backup: {} } },
    { claims: { ...CLAIMS, mlflowBackup: undefined } },
    "backupClaim",
    "dumps need the claim mlflow-backup-pvc",
  ],
  [
    "the password",
    { backend: { kind: "postgres" } },
    { secrets: {} },
    "secrets",
    "Postgres needs the Secret with MLFLOW_DB_PASSWORD",
  ],
])("refuses to start without %s", async (_, mlflow, change, propertyPath, reason) => {
  await expect(children(mlflow, change)).rejects.toMatchObject({ propertyPath, reason });
});
