import { runAgent } from "./agent.ts";

const [, , kubeconfig] = process.argv;
if (kubeconfig === undefined) throw new Error("usage: agentMain.ts KUBECONFIG");
await runAgent(kubeconfig);
