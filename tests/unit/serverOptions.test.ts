import { readFileSync } from "node:fs";
import { join } from "node:path";
import { optionFaults } from "../../config/serverOptions";
import list from "../../images/inference/server-options.json";
import { ROOT } from "../support/program";
import { settingsOf, validTree } from "../support/settings";

const faults = (options: object, server = "vllm") =>
  optionFaults(
    settingsOf({
      ...validTree(),
      models: [{ name: "base", source: { kind: "volume", path: "m" }, server, options }],
    }),
  );
const config = (command: string, key: string, ...value: string[]) =>
  [`pulumi config ${command} --path 'llmops:models[0].options.${key}'`, ...value].join(" ");

test("options that the server knows, of the right type", () => {
  expect(
    faults({
      "max-model-len": 4096,
      "gpu-memory-utilization": 0.9,
      dtype: "bfloat16",
      "enable-prefix-caching": false,
      "no-enable-chunked-prefill": true,
      "max-lora-rank": 32,
    }),
  ).toEqual([]);
  expect(faults({ "max-model-len": "32k" })).toEqual([]);
  expect(faults({ template: "qwen", vllm_maxlen: 4096 }, "llamafactory")).toEqual([]);
});

test.each<[string, string, unknown, string]>([
  ["vllm", "max-modellen", 512, "max-model-len"],
  ["vllm", "max_model_len", 512, "max-model-len"],
  ["llamafactory", "tempelate", "qwen", "template"],
  ["llamafactory", "vllm-maxlen", 512, "vllm_maxlen"],
])("%s: %s is refused, with the name that was meant", (server, name, value, meant) => {
  const title = server === "vllm" ? "vllm serve 0.21.0" : "llamafactory-cli api 0.9.5";
  expect(faults({ [name]: value }, server)).toEqual([
    {
      key: `models[0].options.${name}`,
      got: JSON.stringify(value),
      allowed: `an option of ${title}, such as ${meant}`,
      fix: `${config("rm", name)} && ${config("set", meant, `'${String(value)}'`)}`,
    },
  ]);
});

test("a name that resembles none is to be removed; one server's options are not the other's", () => {
  expect(faults({ "completely-unknown": 1 })).toEqual([
    {
      key: "models[0].options.completely-unknown",
      got: "1",
      allowed: "an option of vllm serve 0.21.0",
      fix: config("rm", "completely-unknown"),
    },
  ]);
  expect(faults({ vllm_gpu_util: 0.9 })).toHaveLength(1);
  expect(faults({ "gpu-memory-utilization": 0.9 }, "llamafactory")).toHaveLength(1);
});

test.each<[string, string, unknown, string]>([
  ["vllm", "tensor-parallel-size", "two", "a whole number"],
  ["vllm", "tensor-parallel-size", 1.5, "a whole number"],
  ["vllm", "gpu-memory-utilization", "high", "a number"],
  ["vllm", "enforce-eager", "yes", "true | false"],
  ["vllm", "chat-template", true, "text"],
  ["llamafactory", "vllm_enforce_eager", 1, "true | false"],
])("%s: %s takes no %j", (server, name, value, allowed) => {
  expect(faults({ [name]: value }, server)).toEqual([
    expect.objectContaining({ key: `models[0].options.${name}`, allowed }),
  ]);
});

test.each<[string, string, string]>([
  [
    "vllm",
    "port",
    "nothing: probes, metrics and clients in the cluster use plain HTTP on port 8000",
  ],
  ["vllm", "served-model-name", "servedName"],
  ["vllm", "lora-modules", "adapters"],
  ["llamafactory", "model_name_or_path", "source"],
])("%s: %s belongs to the platform", (server, name, owner) => {
  expect(faults({ [name]: "x" }, server)).toEqual([
    {
      key: `models[0].options.${name}`,
      got: '"x"',
      allowed: `not set: the platform sets it; use ${owner}`,
      fix: config("rm", name),
    },
  ]);
});

test.each([
  ["vllm", "api-key"],
  ["vllm", "hf-token"],
  ["llamafactory", "hf_hub_token"],
])("%s: %s is refused without being shown", (server, name) => {
  const [fault] = faults({ [name]: "planted-key" }, server);
  expect(fault).toMatchObject({ got: "a value (not shown)", fix: config("rm", name) });
  expect(JSON.stringify(fault)).not.toContain("planted-key");
});

test("the list is of the servers in the image", () => {
  const lock = (file: string): string => readFileSync(join(ROOT, "images", file), "utf8");
  for (const accelerator of ["cpu", "cuda"]) {
    const inference = lock(`inference/${accelerator}.lock`);
    expect(/^vllm(?:-cpu)?==([\w.]+)/m.exec(inference)?.[1]).toBe(list.vllm.version);
    const base = lock(`base/${accelerator}.lock`);
    expect(/^llamafactory==([\w.]+)/m.exec(base)?.[1]).toBe(list.llamafactory.version);
  }
});
