/** The stand-in for the provider plugin of @pulumi/docker: see README.md in this folder. */
import { changesBetween, type Change } from "./diff.ts";
import { contextDigest } from "./docker/context.ts";
import { buildImage, imageFailures, imageOf, withoutSecrets } from "./docker/image.ts";
import { Engine } from "./plugin.ts";
import type { Provider, Target } from "./provider.ts";
import { serveProvider } from "./serve.ts";
import { markSecrets, objectAt, redact, revealProps, stringAt, unknownString } from "./values.ts";
import type { Props } from "./values.ts";

const imageType = "docker:index/image:Image";
const engine = new Engine();
const stop = new AbortController();
let host: string | undefined;

/** New credentials alone build nothing. */
function matters({ path: [first, second] }: Change): boolean {
  const credentials = second === "username" || second === "password";
  return !(first === "registry" && credentials) && first !== "buildOnPreview";
}

/** What a plan can promise: everything but the digest of an image that is still to be built. */
function planned(inputs: Props): Props {
  const { name, context } = imageOf(revealProps(inputs));
  const digest = inputs["skipPush"] === true ? {} : { repoDigest: unknownString };
  return { ...inputs, baseImageName: name, imageName: name, context, ...digest };
}

async function build(target: Target, inputs: Props, preview: boolean): Promise<Props> {
  if (preview && inputs["buildOnPreview"] !== true) {
    return planned(inputs);
  }
  const plain = revealProps(inputs);
  if (preview) {
    plain["skipPush"] = true;
  }
  try {
    const say = (line: string) => void engine.status(redact(line, inputs), target.urn);
    const outputs = await buildImage({ host, signal: stop.signal }, plain, say);
    await engine.status("", target.urn);
    const state = { ...inputs, ...markSecrets(outputs, inputs) };
    return preview ? { ...state, ...planned(inputs) } : state;
  } catch (error) {
    throw withoutSecrets(error, inputs);
  }
}

const dockerProvider: Provider = {
  version: "5.2.0",
  configure: (config) => {
    host = stringAt(revealProps(config), "host");
    return Promise.resolve();
  },
  check: async ({ type, news }) => {
    if (type !== imageType) {
      throw new Error(`the docker stand-in builds ${imageType} and nothing else, not ${type}`);
    }
    const plain = revealProps(news);
    const failures = await imageFailures(plain);
    if (failures.length > 0) {
      return { inputs: news, failures };
    }
    const { context, dockerfile } = imageOf(plain);
    const build = {
      ...objectAt(news, "build"),
      contextDigest: await contextDigest(context, dockerfile),
    };
    return { inputs: { ...news, build } };
  },
  diff: ({ inputs }, news) =>
    Promise.resolve({ changes: changesBetween(inputs, news).filter(matters) }),
  create: async (target, inputs, { preview }) => ({
    id: preview ? "" : imageOf(revealProps(inputs)).name,
    state: await build(target, inputs, preview),
  }),
  read: ({ id, state, inputs }) => Promise.resolve({ id, state, inputs }),
  update: (existing, news, { preview }) => build(existing, news, preview),
  delete: () => Promise.resolve(),
  cancel: () => stop.abort(),
};

void serveProvider("docker", dockerProvider, engine);
