import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { debianEnvironment } from "../../../local/cluster/environment";
import { until } from "../../../local/cluster/poll.ts";
import { freePort } from "../../support/ports";
import { Background, toolsEnvironment } from "./processes";

/** The environment with Debian's Docker, unpacked by the project under LLMOPS_DEBS_ROOT, first on PATH. */
function dockerEnvironment(): NodeJS.ProcessEnv {
  const root = process.env["LLMOPS_DEBS_ROOT"];
  const tools = toolsEnvironment();
  return root === undefined || root === "" ? tools : debianEnvironment(root, tools);
}

/** A real Docker engine and a real registry of a test's own, on the loopback address. */
export class DockerEngine {
  /** For the environment of whoever uses it. */
  readonly env: NodeJS.ProcessEnv;
  /** The registry's name in image names. */
  readonly registry: string;
  private readonly folder: string;
  private readonly port: number;
  private processes: Background[] = [];

  private constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
    this.registry = `127.0.0.1:${port}`;
    const DOCKER_HOST = `unix://${join(folder, "docker.sock")}`;
    this.env = { ...dockerEnvironment(), DOCKER_HOST };
  }

  /** Starts both in a folder of their own. */
  static async start(): Promise<DockerEngine> {
    const folder = await mkdtemp(join(tmpdir(), "llmops-docker-"));
    const engine = new DockerEngine(folder, await freePort());
    try {
      await engine.launch();
      return engine;
    } catch (error) {
      await engine.stop();
      throw error;
    }
  }

  /** Ends both and removes their folder. */
  async stop(): Promise<void> {
    for (const process of this.processes) {
      await process.stop("SIGTERM");
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The registry's answer to a request for a manifest, such as `app/manifests/1`. */
  async manifest(path: string): Promise<{ code: number; digest: string | null }> {
    const accept = "application/vnd.docker.distribution.manifest.v2+json";
    const url = `http://${this.registry}/v2/${path}`;
    const response = await fetch(url, { headers: { accept } });
    return { code: response.status, digest: response.headers.get("docker-content-digest") };
  }

  private async launch(): Promise<void> {
    const storage = join(this.folder, "registry");
    await mkdir(storage);
    const config = {
      version: "0.1",
      storage: { filesystem: { rootdirectory: storage } },
      http: { addr: this.registry },
    };
    const file = join(this.folder, "registry.json");
    await writeFile(file, JSON.stringify(config));
    const flags = {
      host: `unix://${join(this.folder, "docker.sock")}`,
      "data-root": join(this.folder, "data"),
      "exec-root": join(this.folder, "exec"),
      pidfile: join(this.folder, "docker.pid"),
      bridge: "none",
      iptables: "false",
      ip6tables: "false",
      "ip-forward": "false",
      "ip-masq": "false",
      "exec-opt": "native.cgroupdriver=cgroupfs",
      "storage-driver": "vfs",
    };
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    this.processes = [
      new Background("dockerd", args, this.env),
      new Background("docker-registry", ["serve", file], this.env),
    ];
    await until("a Docker engine that answers", 60, async () => {
      this.processes.forEach((process) => process.check());
      const client = new Background("docker", ["version"], this.env);
      return (await client.end()) === 0 ? true : undefined;
    });
    await until("a registry that answers", 30, async () => {
      const response = await fetch(`http://127.0.0.1:${this.port}/v2/`);
      return response.ok ? true : undefined;
    });
  }
}
