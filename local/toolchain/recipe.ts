import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** How one Go tool is built: `local/toolchain/go/<tool>/recipe.json`, beside its `go.mod` and `go.sum`. */
export interface Recipe {
  readonly name: string;
  readonly version: string;
  /** Go package to build: `.` for a main package beside the recipe, or an import path. */
  readonly package: string;
  /** Name of the built file. */
  readonly output: string;
  /** Further names of the same file, for binaries that look at the name they are called by. */
  readonly links: readonly string[];
  /** Linker flags. */
  readonly ldflags: string;
  /** Folder of the recipe. */
  readonly folder: string;
}

/** Reads and checks a recipe. */
export function readRecipe(folder: string): Recipe {
  const file = join(folder, "recipe.json");
  const raw: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (typeof raw !== "object" || raw === null) throw new Error(`${file}: not an object`);
  const fields = new Map<string, unknown>(Object.entries(raw));
  const text = (key: string, fallback?: string): string => {
    const value = fields.get(key) ?? fallback;
    if (typeof value !== "string") throw new Error(`${file}: "${key}" must be a text`);
    return value;
  };
  const links = fields.get("links") ?? [];
  if (!Array.isArray(links)) throw new Error(`${file}: "links" must be a list`);
  const name = text("name");
  return {
    name,
    version: text("version"),
    package: text("package", "."),
    output: text("output", name),
    links: links.map(String),
    ldflags: text("ldflags", "-s -w"),
    folder,
  };
}

/** All recipes below a folder, by name. */
export function readRecipes(goFolder: string): Map<string, Recipe> {
  const recipes = readdirSync(goFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => readRecipe(join(goFolder, entry.name)));
  return new Map(recipes.map((recipe) => [recipe.name, recipe]));
}

/**
 * The cache folder's name of a recipe's result. It changes with anything that can change the result: every file of the
 * recipe, and the Go release.
 */
export function recipeKey(recipe: Recipe, goVersion: string): string {
  const hash = createHash("sha256").update(goVersion);
  for (const file of filesBelow(recipe.folder)) {
    hash.update(`\0${file}\0`).update(readFileSync(join(recipe.folder, file)));
  }
  return `${recipe.name}-${recipe.version}-${hash.digest("hex").slice(0, 12)}`;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => statSync(join(folder, file)).isFile())
    .sort();
}
