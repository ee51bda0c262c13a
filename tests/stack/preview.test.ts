import { previewMarkdown } from "../../local/preview/markdown";
import { parsePreview } from "../../local/preview/steps";
import type { Step } from "../../local/preview/steps";
import type { Registered, StackInput } from "../support/program";
import { redact, stackFile } from "../support/program";
import { runStack } from "../support/stack";

const urnOf = ({ type, name }: Registered): string => `urn:pulumi:prod::llmops::${type}::${name}`;

/** The steps between two runs of the program, as the engine's JSON gives them. */
async function steps(before: StackInput, after: StackInput): Promise<Step[]> {
  const states = async (input: StackInput): Promise<Map<string, Step["newState"]>> => {
    const { resources } = await runStack(input);
    const urns = new Map(resources.map((resource) => [resource.name, urnOf(resource)]));
    return new Map(
      resources.map((resource) => {
        const parent = resource.parent === undefined ? undefined : urns.get(resource.parent);
        const inputs = redact(resource.inputs) as Record<string, unknown>;
        const state = { type: resource.type, inputs, ...(parent === undefined ? {} : { parent }) };
        return [urnOf(resource), state];
      }),
    );
  };
  const [old, now] = [await states(before), await states(after)];
  return [...new Set([...old.keys(), ...now.keys()])].map((urn) => {
    const [oldState, newState] = [old.get(urn), now.get(urn)];
    const same = JSON.stringify(oldState) === JSON.stringify(newState);
    const changed = urn.includes(":Job::") ? "replace" : "update";
    const op =
      oldState === undefined
        ? "create"
        : newState === undefined
          ? "delete"
          : same
            ? "same"
            : changed;
    return {
      op,
      urn,
      ...(oldState === undefined ? {} : { oldState }),
      ...(newState === undefined ? {} : { newState }),
    };
  });
}

/** Production with one model alone, on so many GPUs a pod. */
function serving(path: string, gpu: number, change: object = {}): StackInput {
  const { stack, settings } = stackFile("prod");
  const { training, ...rest } = settings;
  expect(training).toBeDefined();
  const model = {
    name: "assistant",
    source: { kind: "volume", path },
    replicas: { min: 1, max: 2 },
    options: { "tensor-parallel-size": gpu },
    resources: { gpu },
    ...change,
  };
  return { stack, settings: { ...rest, models: [model] } };
}

describe("the comment on a pull request", () => {
  test("says that GPUs are doubled and a model is swapped in its first five lines", async () => {
    const markdown = previewMarkdown(
      "prod",
      await steps(serving("base/one", 1), serving("base/two", 2)),
    );
    const first = markdown.split("\n").slice(0, 5).join("\n");
    expect(first).toContain("`prod`: 2 to update");
    expect(first).toContain("- **GPUs at most: 2 → 4**");
    expect(first).toContain(
      "- **Model of llama-factory-inference-assistant: /models/base/one → /models/base/two**",
    );
  });

  test("counts MIG slices, and knows the model of LLaMA-Factory's server", async () => {
    const change = (gpuResource: string) => ({
      server: "llamafactory",
      autoscaling: { metric: "cpu" },
      options: {},
      resources: { gpu: 1, gpuResource },
    });
    const markdown = previewMarkdown(
      "prod",
      await steps(
        serving("base/one", 1, change("nvidia.com/mig-1g.10gb")),
        serving("base/two", 1, {
          ...change("nvidia.com/mig-1g.10gb"),
          replicas: { min: 1, max: 3 },
        }),
      ),
    );
    expect(markdown).toContain("- **GPUs at most: 2 → 3**");
    expect(markdown).toContain(
      "- **Model of llama-factory-inference-assistant: /models/base/one → /models/base/two**",
    );
  });

  test("says when a pool of machines grows", async () => {
    const { stack, settings } = stackFile("dev");
    const gcp = settings["gcp"] as { readonly gke: { readonly gpuPools: readonly object[] } };
    const withPools = (change: object): StackInput => {
      const gpuPools = gcp.gke.gpuPools.map((pool) => ({ ...pool, ...change }));
      return { stack, settings: { ...settings, gcp: { ...gcp, gke: { ...gcp.gke, gpuPools } } } };
    };
    const markdown = previewMarkdown("dev", await steps(withPools({}), withPools({ max: 3 })));
    expect(markdown).toContain(
      "- **Machines of gcp-cluster-l4-spot: at most 1 g2-standard-24 → at most 3 g2-standard-24**",
    );
  });

  test("says when GKE may make more machines", async () => {
    const { stack, settings } = stackFile("dev");
    const gcp = settings["gcp"] as { readonly gke: object };
    const within = (max: number): StackInput => {
      const gpus = [{ gpu: "nvidia-l4", max }];
      const gke = { ...gcp.gke, autoProvisioning: { cpu: 64, memoryGB: 256, gpus } };
      return { stack, settings: { ...settings, gcp: { ...gcp, gke } } };
    };
    const markdown = previewMarkdown("dev", await steps(within(2), within(8)));
    expect(markdown).toContain("- **Limit of nvidia-l4 in gcp-cluster-control-plane: 2 → 8**");
  });

  test("names each changed value below its component, replacements first", async () => {
    const before = stackFile("prod");
    const training = { ...(before.settings["training"] as object), run: "again" };
    const after = { ...before, settings: { ...before.settings, training } };
    const markdown = previewMarkdown("prod", await steps(before, after));
    expect(markdown).toMatch(/^### `prod`: 1 to replace, 1 to update\n/);
    const groups = [...markdown.matchAll(/^#### (.+)$/gm)].map(([, name]) => name);
    expect(groups).toEqual(["llama-factory-train", "lumen7"]);
    expect(markdown).toContain("- **replace** Job `llama-factory-train`");
    expect(markdown).toMatch(
      /`spec\.template\.metadata\.labels\.llmops\.dev\/run`: `[0-9a-f]{10}` → `[0-9a-f]{10}`/,
    );
  });

  test("counts the GPUs of a run that is handed to Kubeflow Trainer", async () => {
    const handed = (nodes: number): StackInput => {
      const { stack, settings } = stackFile("prod");
      const data = { kind: "files", path: "examples/lumen7" };
      const given = { ...(settings["training"] as object), data, nodes };
      const training = { ...given, runner: "trainjob", await: false };
      return { stack, settings: { ...settings, training } };
    };
    const markdown = previewMarkdown("prod", await steps(handed(1), handed(3)));
    expect(markdown).toContain("- **GPUs at most: 7 → 9**");
    expect(markdown).toContain("- **GPUs of llama-factory-train: 1 × 1 → 3 × 1**");
  });

  test("of an unchanged stack is one line", async () => {
    expect(previewMarkdown("prod", await steps(stackFile("prod"), stackFile("prod")))).toBe(
      "### `prod`: no change\n",
    );
  });

  test("shows no secret, and says where one changes", async () => {
    const key = (value: string): StackInput => ({
      ...stackFile("prod"),
      secrets: { VLLM_API_KEY: value },
    });
    const changed = (await steps(key("planted-one"), key("planted-two"))).map((step) =>
      step.urn.endsWith("::vllm-api-key") ? { ...step, op: "replace" } : step,
    );
    const markdown = previewMarkdown("prod", changed);
    expect(markdown).toContain(
      "- **replace** Secret `vllm-api-key`: a secret value, or what only the update makes known",
    );
    expect(markdown).not.toContain("planted");
  });

  test("shows what a new stack creates, by component", async () => {
    const created = (await steps(stackFile("dev"), stackFile("dev"))).map(({ urn, newState }) => ({
      op: "create",
      urn,
      ...(newState === undefined ? {} : { newState }),
    }));
    const markdown = previewMarkdown("dev", created);
    expect(markdown).toMatch(/^### `dev`: \d+ to create\n- \*\*GPUs at most: 0 → 2\*\*/);
    expect(markdown).toContain("#### mlflow\n- **create** Deployment `mlflow`\n");
    expect(markdown).not.toContain("Mlflow");
  });
});

test("a preview that printed no JSON is an error", () => {
  expect(() => parsePreview("error: no stack")).toThrow();
  expect(parsePreview('{"changeSummary":{}}')).toEqual([]);
});
