import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";

import { withLock } from "./lock.ts";
import { cacheRoot } from "./paths.ts";
import { readRecipes, recipeKey } from "./recipe.ts";
import type { Recipe } from "./recipe.ts";
import { run } from "./run.ts";

/** A tool that can be started. */
export interface Tool {
  readonly name: string;
  readonly version: string;
  /** Folder to put on PATH. */
  readonly bin: string;
  /** Whether this call built it. */
  readonly built: boolean;
}

/** Builds Go tools from their recipes into the cache shared by all checkouts. */
export class GoTools {
  readonly #recipes: Map<string, Recipe>;
  readonly #logs: string;
  readonly #signal: AbortSignal | undefined;
  #goVersion: Promise<string> | undefined;

  constructor(options: { goFolder: string; logs: string; signal?: AbortSignal }) {
    this.#recipes = readRecipes(options.goFolder);
    this.#logs = options.logs;
    this.#signal = options.signal;
  }

  /** Names of all tools that have a recipe. */
  names(): string[] {
    return [...this.#recipes.keys()].sort();
  }

  /** The recipe of a tool. */
  recipe(name: string): Recipe {
    const recipe = this.#recipes.get(name);
    if (recipe === undefined) {
      throw new Error(`no recipe for the tool "${name}": there are ${this.names().join(", ")}.`);
    }
    return recipe;
  }

  /** Cache folder of a tool, whether it is there yet or not. */
  async folder(name: string): Promise<string> {
    this.#goVersion ??= run("go", ["env", "GOVERSION"], {
      what: "asking Go for its version",
      remedy: "install Go 1.24 or newer and put it on PATH",
    });
    return join(cacheRoot(), "tools", recipeKey(this.recipe(name), await this.#goVersion));
  }

  /** Whether the tool is in the cache. */
  async has(name: string): Promise<boolean> {
    return existsSync(join(await this.folder(name), "bin"));
  }

  /** Fetches the modules that the tool's build needs: network, hardly any CPU. */
  async download(name: string): Promise<void> {
    const recipe = this.recipe(name);
    await this.#go(recipe, ["list", "-deps", "-f", "", recipe.package], "fetch the sources of");
  }

  /**
   * Gives the tool from the cache, building it first where needed. Two callers build once; an interrupted build leaves
   * nothing behind that looks finished, and goes on from Go's own build cache.
   */
  async ensure(name: string): Promise<Tool> {
    const recipe = this.recipe(name);
    const folder = await this.folder(name);
    const tool = { name, version: recipe.version, bin: join(folder, "bin") };
    if (existsSync(tool.bin)) return { ...tool, built: false };
    return withLock(join(cacheRoot(), "locks", `tool-${name}`), async () => {
      if (existsSync(tool.bin)) return { ...tool, built: false };
      await mkdir(join(cacheRoot(), "tools"), { recursive: true });
      const fresh = await mkdtemp(`${folder}.partial-`);
      try {
        await mkdir(join(fresh, "bin"));
        const output = join(fresh, "bin", recipe.output);
        const flags = ["build", "-ldflags", recipe.ldflags, "-o", output, recipe.package];
        await this.#go(recipe, flags, "build");
        for (const link of recipe.links) await symlink(recipe.output, join(fresh, "bin", link));
        await rename(fresh, folder);
      } finally {
        await rm(fresh, { recursive: true, force: true });
      }
      return { ...tool, built: true };
    });
  }

  async #go(recipe: Recipe, args: string[], doing: string): Promise<void> {
    await run("go", args, {
      what: `${doing} ${recipe.name} ${recipe.version}`,
      remedy:
        "check that the Go module proxy (go env GOPROXY) can be reached, then run the same command again",
      cwd: recipe.folder,
      env: {
        ...process.env,
        CGO_ENABLED: "0",
        GOFLAGS: "-mod=readonly -trimpath -buildvcs=false",
        GOWORK: "off",
        GOOS: "linux",
        GOARCH: "amd64",
      },
      log: join(this.#logs, `tool-${recipe.name}.log`),
      ...(this.#signal === undefined ? {} : { signal: this.#signal }),
    });
  }
}
