import fc from "fast-check";
import { faultsOf, formatPath, renderFaults, valueAt } from "../../config/faults";
import { settingsSchema } from "../../config/schema";
import { trainingTree, validTree } from "../support/settings";

/** Faults of the valid tree with one setting changed. */
function faultsWith(change: Record<string, unknown>, base = validTree()) {
  const tree = { ...base, ...change };
  const parsed = settingsSchema.safeParse(tree);
  return parsed.success ? [] : faultsOf(parsed.error, tree);
}

const model = (change: object) => ({
  models: [{ name: "base", source: { kind: "volume", path: "m" }, ...change }],
});

describe("a wrong setting is named with its value, what is allowed and the command that mends it", () => {
  test("the valid trees have no fault", () => {
    expect(faultsWith({})).toEqual([]);
    expect(faultsWith({}, trainingTree())).toEqual([]);
  });

  test("unknown key", () => {
    expect(faultsWith({ modles: [] })).toEqual([
      {
        key: "modles",
        got: "[]",
        allowed: "no such setting: see docs/settings.md for the names",
        fix: "pulumi config rm --path 'llmops:modles'",
      },
    ]);
  });

  test("unknown key deep in a list", () => {
    expect(faultsWith(model({ replica: 2 }))).toEqual([
      expect.objectContaining({
        key: "models[0].replica",
        got: "2",
        fix: "pulumi config rm --path 'llmops:models[0].replica'",
      }),
    ]);
  });

  test("wrong type", () => {
    expect(faultsWith(model({ replicas: { min: "two" } }))).toEqual([
      {
        key: "models[0].replicas.min",
        got: '"two"',
        allowed: "a number",
        fix: "pulumi config set --path 'llmops:models[0].replicas.min' '<a number>'",
      },
    ]);
  });

  test("missing setting", () => {
    expect(faultsWith({ cluster: {} })).toEqual([
      {
        key: "cluster.context",
        got: "nothing",
        allowed: "a string",
        fix: "pulumi config set --path 'llmops:cluster.context' '<a string>'",
      },
    ]);
  });

  test("empty list of models", () => {
    expect(faultsWith({ models: [] })).toEqual([
      expect.objectContaining({ key: "models", got: "[]", allowed: "at least one model" }),
    ]);
  });

  test.each(["16 Gi", "-1", "lots", "1.5.2", "4GiB"])("bad quantity %s", (memory) => {
    expect(faultsWith(model({ resources: { memory } }))).toEqual([
      expect.objectContaining({
        key: "models[0].resources.memory",
        got: JSON.stringify(memory),
        allowed: 'a Kubernetes quantity, such as "500m", "4" or "16Gi"',
      }),
    ]);
  });

  test("a name too long for Kubernetes", () => {
    expect(faultsWith(model({ name: "m".repeat(40) }))).toEqual([
      expect.objectContaining({
        key: "models[0].name",
        allowed: "at most 39 characters, since Kubernetes names are limited to 63",
      }),
    ]);
  });

  test("an unknown kind lists the kinds", () => {
    expect(faultsWith(model({ source: { kind: "s3" } }))).toEqual([
      expect.objectContaining({
        key: "models[0].source.kind",
        got: '"s3"',
        allowed: "volume | training | huggingface | gcs | artifactory",
      }),
    ]);
  });

  test.each(["debian:latest", "debian", "debian:latest@sha256:" + "a".repeat(64)])(
    "a floating base image %s",
    (baseImage) => {
      const images = { registry: "r", baseImage };
      expect(faultsWith({ images })).toEqual([
        expect.objectContaining({
          key: "images.baseImage",
          allowed: "an image pinned by digest, or by a tag other than latest",
        }),
      ]);
    },
  );

  test("credentials in a package index", () => {
    const images = { registry: "r", baseImage: "d:1", packageIndex: "https://me:pw@index.test/x" };
    expect(faultsWith({ images })).toEqual([
      expect.objectContaining({ key: "images.packageIndex" }),
    ]);
  });

  test.each(["../up", "/abs", "a/../b", ".."])(
    "a model path that leaves the volume: %s",
    (path) => {
      expect(faultsWith(model({ source: { kind: "volume", path } }))).toEqual([
        expect.objectContaining({
          key: "models[0].source.path",
          allowed: "a relative path without '..'",
        }),
      ]);
    },
  );

  test("all faults come at once", () => {
    const keys = faultsWith({ cluster: {}, extra: 1, models: [] }).map(({ key }) => key);
    expect(keys.sort()).toEqual(["cluster.context", "extra", "models"]);
  });

  test("no settings at all: every required section is named", () => {
    const parsed = settingsSchema.safeParse({});
    const keys = parsed.success ? [] : faultsOf(parsed.error, {}).map(({ key }) => key);
    expect(keys.sort()).toEqual(["cluster", "images", "models", "storage"]);
  });
});

test("a path is written the way pulumi config set --path reads it", () => {
  expect(formatPath(["models", 0, "replicas", "min"])).toBe("models[0].replicas.min");
  expect(formatPath([])).toBe("");
});

test("whatever is configured, the check ends with a value or with faults, never with an exception", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom("models", "images", "storage", "x"), fc.jsonValue()),
      (tree) => {
        const parsed = settingsSchema.safeParse(tree);
        if (!parsed.success) {
          for (const fault of faultsOf(parsed.error, tree)) {
            expect(fault.key).not.toBe("");
            expect(fault.fix).toContain("pulumi config");
          }
        }
      },
    ),
  );
});

test("valueAt finds nothing below a scalar", () => {
  expect(valueAt({ a: 1 }, ["a", "b"])).toBeUndefined();
  expect(valueAt({ a: [{ b: 2 }] }, ["a", 0, "b"])).toBe(2);
});

test("the text names the stack file and says that nothing was created", () => {
  const fault = { key: "a", got: "1", allowed: "2", fix: "do it" };
  expect(renderFaults("dev", [fault])).toBe(
    "Pulumi.dev.yaml has 1 fault; nothing was created.\n\n" +
      "  a\n    got:     1\n    allowed: 2\n    mend:    do it\n",
  );
  expect(renderFaults("dev", [fault, fault])).toContain("has 2 faults");
});
