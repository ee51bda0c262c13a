/** The stand-in for the provider plugin of @pulumi/kubernetes: see README.md in this folder. */
import { KubernetesProvider } from "./kubernetes/kubernetesProvider.ts";
import { Engine } from "./plugin.ts";
import { serveProvider } from "./serve.ts";

const engine = new Engine();
void serveProvider("kubernetes", new KubernetesProvider(engine), engine);
