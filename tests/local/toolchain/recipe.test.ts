import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readRecipe, readRecipes, recipeKey } from "../../../local/toolchain/recipe";

const goFolder = join(__dirname, "..", "..", "..", "local", "toolchain", "go");

describe("recipes", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "llmops-recipe-"));
    cpSync(join(goFolder, "pause"), folder, { recursive: true });
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test("every tool of the platform and of its tests has one", () => {
    expect([...readRecipes(goFolder).keys()].sort()).toEqual([
      "actionlint",
      "coredns",
      "fake-gcs-server",
      "kubernetes",
      "pause",
      "prometheus-adapter",
      "pulumi",
      "toxiproxy",
    ]);
  });

  test("the key names tool and version, and stays as long as nothing changes", () => {
    const recipe = readRecipe(folder);
    const key = recipeKey(recipe, "go1.26.8");
    expect(key).toMatch(
      new RegExp(`^pause-${recipe.version.replaceAll(".", "\\.")}-[0-9a-f]{12}$`),
    );
    expect(recipeKey(readRecipe(folder), "go1.26.8")).toBe(key);
  });

  test("another Go release or another source file gives another key", () => {
    const before = recipeKey(readRecipe(folder), "go1.26.8");
    expect(recipeKey(readRecipe(folder), "go1.26.9")).not.toBe(before);
    writeFileSync(join(folder, "extra.go"), "package main\n");
    expect(recipeKey(readRecipe(folder), "go1.26.8")).not.toBe(before);
  });

  test("a recipe with a wrong field is refused by file and field", () => {
    writeFileSync(join(folder, "recipe.json"), '{ "name": "pause", "version": 3 }');
    expect(() => readRecipe(folder)).toThrow(/recipe\.json: "version" must be a text/);
  });
});
