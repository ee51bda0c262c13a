import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/program";
import { kubectl } from "./platform";
import { withPod } from "./pods";

interface Container {
  readonly args: readonly string[];
  readonly startupProbe: { readonly exec: { readonly command: readonly string[] } };
}

interface Deployment {
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly [Container] } };
  };
}

const POD = "bare-start";

/** What a container of the inference image runs; its arguments follow. */
function entryPoint(): readonly string[] {
  const file = readFileSync(join(ROOT, "images", "inference", "Dockerfile"), "utf8");
  return JSON.parse(/^ENTRYPOINT (.*)$/m.exec(file)?.[1] ?? "") as string[];
}

/** Starts the server and asks it, as the startup probe does, until it has answered. */
const START = `
probe=$1; shift
"$@" > /tmp/server.log 2>&1 &
until $probe; do
  kill -0 $! || { cat /tmp/server.log; exit 1; }
  sleep 0.2
done
`;

/**
 * Seconds that the server of a Deployment takes from the start of its process to its first answer, without Kubernetes
 * in between: in a pod of the same image, volumes and limits, which is there already and runs nothing.
 *
 * @param scratch - folder for the pod's manifest.
 */
export async function bareStart(deployment: string, scratch: string): Promise<number> {
  const { spec } = JSON.parse(
    await kubectl("get", "deployment", deployment, "-o", "json"),
  ) as Deployment;
  const pod = spec.template.spec;
  const { args, startupProbe } = pod.containers[0];
  const idle = {
    ...pod.containers[0],
    command: ["sleep", "infinity"],
    args: [],
    ...{ startupProbe: null, livenessProbe: null, readinessProbe: null, lifecycle: null },
  };
  const alone = { ...pod, topologySpreadConstraints: [], containers: [idle] };
  return withPod(POD, alone, scratch, async () => {
    await kubectl("wait", "--for=condition=Ready", `pod/${POD}`, "--timeout=2m");
    const since = performance.now();
    const words = [startupProbe.exec.command.join(" "), ...entryPoint(), ...args];
    await kubectl("exec", POD, "--", "bash", "-c", START, "bash", ...words);
    return (performance.now() - since) / 1000;
  });
}
