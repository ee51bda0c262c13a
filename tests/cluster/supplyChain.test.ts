import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/program";
import { run } from "./support/platform";

/** The environments of each image, and the lock files that it is installed from. */
const IMAGES: Record<string, Record<string, readonly string[]>> = {
  "llama-factory-train": {
    venv: ["training/cpu.lock", "training/wheels-cpu.lock"],
    models: ["models/models.lock"],
  },
  "llama-factory-inference": { venv: ["inference/cpu.lock"], models: ["models/models.lock"] },
  mlflow: { venv: ["mlflow/mlflow.lock"] },
  "llm-front-door": { venv: ["front-door/front-door.lock"] },
};

/** What CycloneDX says of a package. */
interface Component {
  readonly name: string;
  readonly version: string;
  readonly licenses?: readonly {
    readonly expression?: string;
    readonly license?: { readonly id?: string; readonly name?: string };
  }[];
}

let images: readonly string[];

beforeAll(async () => {
  images = (await run(ROOT, "docker", "images", "--format", "{{.Repository}}:{{.Tag}}")).split(
    "\n",
  );
});

/** The list of an environment that lies in its image. */
async function packagesOf(image: string, environment: string): Promise<readonly Component[]> {
  const reference = images.find((each) => each.includes(`/${image}:`)) ?? image;
  const file = `/opt/llmops/${environment}.cdx.json`;
  const shown = ["--rm", "--network=none", "--entrypoint=cat", reference, file];
  const list = JSON.parse(await run(ROOT, "docker", "run", ...shown)) as {
    readonly bomFormat: string;
    readonly components: readonly Component[];
  };
  expect(list.bomFormat).toBe("CycloneDX");
  return list.components;
}

/** A package as lock files write it. */
const named = (name: string, version: string): string =>
  `${name.replace(/[-_.]+/g, "-").toLowerCase()}==${version}`;

function locked(files: readonly string[]): string[] {
  const text = files.map((file) => readFileSync(join(ROOT, "images", file), "utf8")).join("\n");
  const lines = text.matchAll(/^([a-zA-Z0-9][\w.-]*)(?:\[[^\]]*\])?==(\S+)/gm);
  return [...new Set([...lines].map(([, name = "", version = ""]) => named(name, version)))].sort();
}

test.each(Object.keys(IMAGES))(
  "%s says which packages it holds: those of its lock files",
  async (image) => {
    for (const [environment, files] of Object.entries(IMAGES[image] ?? {})) {
      const found = (await packagesOf(image, environment)).map((each) =>
        named(each.name, each.version),
      );
      expect(found.sort()).toEqual(locked(files));
    }
  },
);

/** Asks for more than its text, or for the source of changed files. */
const DEMANDING = /GPL|GNU|SSPL|BUSL|Commons|NonCommercial|-NC|Proprietary/i;

test("every Python package names a licence; the demanding ones are known", async () => {
  const licences = new Map<string, string>();
  for (const [image, environments] of Object.entries(IMAGES)) {
    for (const environment of Object.keys(environments)) {
      for (const { name, licenses = [] } of await packagesOf(image, environment)) {
        const texts = licenses.map(
          ({ expression, license }) => expression ?? license?.id ?? license?.name,
        );
        licences.set(name, texts.join(", "));
      }
    }
  }
  const which = (is: (licence: string) => boolean): string[] =>
    [...licences].flatMap(([name, licence]) => (is(licence) ? [name] : [])).sort();
  expect(which((licence) => DEMANDING.test(licence))).toEqual([
    // Free to pass on unchanged, as the wheels are.
    "intel-cmplr-lib-ur",
    "intel-openmp",
    "nvidia-cuda-cupti",
    "nvidia-cuda-runtime",
    // LGPL, imported as they are; pycurl may be taken under MIT.
    "psycopg2-binary",
    "pycountry",
    "pycurl",
  ]);
  // Their text was read in place of a name: Apache, BSD or MIT.
  expect(which((licence) => licence === "")).toEqual([
    ...["compressed-tensors", "hf_transfer", "huey", "openai-harmony", "protobuf", "rouge-chinese"],
    ...["supervisor", "tiktoken", "torchvision", "transformers"],
  ]);
});
