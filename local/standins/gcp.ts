/** The stand-in for the provider plugin of @pulumi/gcp, which only plans: see README.md here. */
import { changesBetween } from "./diff.ts";
import { Engine } from "./plugin.ts";
import type { Provider, Target } from "./provider.ts";
import { serveProvider } from "./serve.ts";

const engine = new Engine();
let warned = false;

function refuse({ type, name }: Target, verb: string): Promise<never> {
  return Promise.reject(
    new Error(
      `the gcp stand-in only plans and cannot ${verb} ${name} (${type}): ` +
        "install the official plugin with `pulumi plugin install resource gcp` and run again",
    ),
  );
}

async function warnOnce(): Promise<void> {
  if (!warned) {
    warned = true;
    await engine.log(
      "warning",
      "gcp is a stand-in here: this shows a plan that Google Cloud has not seen or checked",
    );
  }
}

const gcp: Provider = {
  version: "9.37.0",
  configure: () => Promise.resolve(),
  check: async ({ news }) => {
    await warnOnce();
    return { inputs: news };
  },
  diff: ({ inputs }, news) => Promise.resolve({ changes: changesBetween(inputs, news) }),
  create: (target, inputs, { preview }) =>
    preview ? Promise.resolve({ id: "", state: inputs }) : refuse(target, "create"),
  read: (existing) => refuse(existing, "read"),
  update: (existing, news, { preview }) =>
    preview ? Promise.resolve({ ...existing.state, ...news }) : refuse(existing, "update"),
  delete: (existing) => refuse(existing, "delete"),
};

void serveProvider("gcp", gcp, engine);
