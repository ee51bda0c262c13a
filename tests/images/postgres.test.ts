import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../local/cluster/poll.ts";
import { freePort } from "../support/ports";
import { Postgres } from "../support/servers/postgres";
import { loopback } from "../support/servers/server";

const SECONDS = 1000;
const PASSWORD = "it's 1 word: %";

let scratch: string;
const running: Postgres[] = [];

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "llmops-postgres-"));
});

afterAll(async () => {
  await Promise.all(running.map((server) => server.kill()));
  rmSync(scratch, { recursive: true, force: true });
});

/** A server that is not started yet, on an empty volume. */
async function make(): Promise<Postgres> {
  const folder = mkdtempSync(join(scratch, "server-"));
  const server = new Postgres({ place: loopback, port: await freePort(), folder });
  running.push(server);
  return server;
}

async function started(): Promise<Postgres> {
  const server = await make();
  await server.start(PASSWORD);
  return server;
}

const dumps = (server: Postgres): string[] => readdirSync(server.backups).sort();
const DUMP = /^mlflow-\d{8}T\d{6}Z\.dump$/;

describe("Postgres, as its image starts it", () => {
  test(
    "an empty volume gets the database, and a new password in the Secret is the only one that works",
    async () => {
      const server = await started();
      expect(
        await server.sql(
          "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user",
        ),
      ).toEqual(["mlflow|f"]);
      await server.sql("CREATE TABLE kept AS SELECT 1 AS value");
      await server.kill();
      await server.start("another");
      expect(await server.sql("SELECT value FROM kept")).toEqual(["1"]);
      const old = await server.run(["psql", "--dbname=mlflow", "-c", "SELECT 1"], {
        PGPASSWORD: PASSWORD,
      });
      expect(old.text).toContain("password authentication failed");
      const nobody = await server.run([
        "psql",
        "--dbname=mlflow",
        "--username=postgres",
        "--no-password",
        "-c",
        "SELECT 1",
      ]);
      expect(nobody.code).not.toBe(0);
      for (const password of [PASSWORD, "another"]) expect(server.log()).not.toContain(password);
    },
    60 * SECONDS,
  );

  test(
    "a first start that was cut short is done again",
    async () => {
      const server = await make();
      mkdirSync(join(server.volume, "15.partial", "base"), { recursive: true });
      await server.start(PASSWORD);
      expect(readdirSync(server.volume)).toEqual(["15"]);
    },
    60 * SECONDS,
  );

  test("the data of another major version is left alone", async () => {
    const server = await make();
    mkdirSync(join(server.volume, "14"));
    writeFileSync(join(server.volume, "14", "PG_VERSION"), "14\n");
    await expect(server.start(PASSWORD)).rejects.toThrow(
      "the volume holds data of Postgres 14, and this is 15: restore a dump onto an empty volume",
    );
    expect(readdirSync(server.volume)).toEqual(["14"]);
  });

  test(
    "what was committed is there after the server was killed",
    async () => {
      const server = await started();
      await server.sql("CREATE TABLE steps (step integer)");
      for (let step = 0; step < 20; step += 1)
        await server.sql(`INSERT INTO steps VALUES (${step})`);
      await server.kill();
      await server.start(PASSWORD);
      expect(await server.sql("SELECT count(*) FROM steps")).toEqual(["20"]);
    },
    60 * SECONDS,
  );
});

describe("dumps", () => {
  let server: Postgres;
  beforeAll(async () => {
    server = await started();
    await server.sql(
      "CREATE TABLE runs AS SELECT md5(g::text || random()) AS name FROM generate_series(1, 400000) g",
    );
  }, 60 * SECONDS);

  test(
    "a dump that is killed leaves none behind, and the next one clears up",
    async () => {
      const dump = server.spawn("backup");
      const end = new Promise((done) => dump.once("exit", done));
      const begun = (): true | undefined => {
        const [name] = dumps(server);
        const bytes = name === undefined ? 0 : statSync(join(server.backups, name)).size;
        return bytes > 0 ? true : undefined;
      };
      await until("the first bytes of a dump", 30, begun, 10);
      process.kill(-Number(dump.pid), "SIGKILL");
      await end;
      expect(dumps(server)).toEqual([expect.stringMatching(/\.dump\.partial$/)]);
      expect(await server.command("restore", "latest")).toMatchObject({
        code: 1,
        text: "llmops: no dump latest; there are: none\n",
      });
      expect(await server.command("backup")).toMatchObject({ code: 0 });
      expect(dumps(server)).toEqual([expect.stringMatching(DUMP)]);
    },
    60 * SECONDS,
  );

  test("a dump that fails leaves none behind, and says why", async () => {
    const before = dumps(server);
    const words = ["python", "-m", "llmops_mlflow", "backup"];
    const { code, text } = await server.run(words, { PGPASSWORD: "wrong" });
    expect(code).toBe(1);
    expect(text).toContain("password authentication failed");
    expect(text).not.toContain("Traceback");
    expect(dumps(server)).toEqual(before);
  });

  test(
    "the newest are kept, and other files with them",
    async () => {
      for (const day of ["01", "02", "03"]) {
        writeFileSync(join(server.backups, `mlflow-202001${day}T000000Z.dump`), "old");
      }
      writeFileSync(join(server.backups, "notes.txt"), "mine");
      const [newest] = dumps(server)
        .reverse()
        .filter((name) => DUMP.test(name));
      expect(await server.command("backup")).toMatchObject({ code: 0 });
      const left = dumps(server);
      expect(left).toHaveLength(3);
      expect(left).toContain("notes.txt");
      expect(left).toContain(newest);
    },
    60 * SECONDS,
  );

  test(
    "restore brings back what was dumped, and keeps the database that was there",
    async () => {
      await server.sql("CREATE TABLE later (value integer); DELETE FROM runs");
      expect(await server.command("restore", "latest")).toMatchObject({ code: 0 });
      expect(await server.sql("SELECT count(*), to_regclass('later') IS NULL FROM runs")).toEqual([
        "400000|t",
      ]);
      const [kept = ""] = await server.sql(
        "SELECT datname FROM pg_database WHERE datname LIKE 'mlflow_before_%'",
      );
      expect(
        await server.sql("SELECT count(*), to_regclass('later') IS NULL FROM runs", kept),
      ).toEqual(["0|f"]);
    },
    60 * SECONDS,
  );

  test(
    "restore changes nothing where the dump is broken or MLflow is still connected",
    async () => {
      const broken = "mlflow-20300101T000000Z.dump";
      writeFileSync(join(server.backups, broken), "PGDMP nothing");
      expect((await server.command("restore", broken)).text).toContain(
        "pg_restore ended with exit code 1",
      );
      rmSync(join(server.backups, broken));
      const session = server.run(["psql", "--dbname=mlflow", "-c", "SELECT pg_sleep(60)"]);
      const others =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()";
      await until("the session", 30, async () =>
        (await server.sql(others))[0] === "1" ? true : undefined,
      );
      const { code, text } = await server.command("restore", "latest");
      expect(code).toBe(1);
      expect(text).toContain('database "mlflow" is being accessed by other users');
      await server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()",
      );
      await session;
      expect(await server.sql("SELECT count(*) FROM runs")).toEqual(["400000"]);
    },
    60 * SECONDS,
  );
});

describe("MLflow's migration", () => {
  const ORDERLY = /llmops: the database has schema [0-9a-f]{12} already\n$/;

  test(
    "two servers that start at once on an empty database: one migrates, the other waits",
    async () => {
      const server = await started();
      const both = await Promise.all([
        server.command("migrate", server.uri),
        server.command("migrate", server.uri),
      ]);
      expect(both.map(({ code }) => code)).toEqual([0, 0]);
      expect(both.filter(({ text }) => ORDERLY.test(text))).toHaveLength(1);
      expect(await server.sql("SELECT name FROM experiments LIMIT 1")).toEqual([]);
    },
    120 * SECONDS,
  );

  test(
    "a database that cannot be reached is told in one sentence",
    async () => {
      const server = await make();
      const { code, text } = await server.command("migrate", server.uri);
      expect(code).toBe(1);
      expect(text).toContain("llmops: the database cannot be reached: ");
      expect(text).not.toContain("Traceback");
    },
    60 * SECONDS,
  );

  test(
    "SQLite: a file of an older MLflow is copied before it is changed, once",
    async () => {
      const server = await make();
      const folder = mkdtempSync(join(scratch, "sqlite-"));
      const file = join(folder, "mlflow.db");
      const uri = `sqlite:///${file}`;
      expect((await server.command("migrate", uri)).text).toBe(
        "llmops: there is no database yet: the server makes it\n",
      );
      expect(existsSync(file)).toBe(false);
      execFileSync("python", ["-c", OLDER, uri]);
      expect(await server.command("migrate", uri)).toMatchObject({ code: 0 });
      expect(readdirSync(folder).sort()).toEqual(["mlflow.before-c48cb773bb87.db", "mlflow.db"]);
      const name = (database: string): string =>
        execFileSync("python", ["-c", EXPERIMENT, join(folder, database)], { encoding: "utf8" });
      expect(name("mlflow.before-c48cb773bb87.db")).toBe("older\n");
      expect(name("mlflow.db")).toBe("older\n");
      expect((await server.command("migrate", uri)).text).toMatch(ORDERLY);
      expect(readdirSync(folder)).toHaveLength(2);
    },
    120 * SECONDS,
  );

  /** Makes the database of an MLflow of 2021, with one experiment. */
  const OLDER = `
import sys
import sqlalchemy as sa
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
engine = sa.create_engine(sys.argv[1])
Base.metadata.create_all(engine)
config = _get_alembic_config(sys.argv[1])
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, "c48cb773bb87")
    connection.execute(sa.text("INSERT INTO experiments (name, lifecycle_stage) VALUES ('older', 'active')"))
`;
  const EXPERIMENT = `
import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT name FROM experiments").fetchone()[0])
`;
});
