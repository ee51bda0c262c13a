import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../local/cluster/poll.ts";
import { freePort } from "../../support/ports.ts";
import { Background, toolsEnvironment } from "./processes.ts";

/** The controllers that delete what was asked to be deleted; the tests play all the others. */
const controllers = [
  "garbage-collector-controller",
  "namespace-controller",
  "persistentvolume-protection-controller",
  "persistentvolumeclaim-protection-controller",
];

/** A JSON object from the API. */
export type ApiObject = Record<string, unknown>;

/** A real etcd and Kubernetes API server of a test's own: objects are stored and checked, nothing runs. */
export class ControlPlane {
  /** The path of a kubeconfig for it. */
  readonly kubeconfig: string;
  private readonly folder: string;
  private readonly port: number;
  private readonly token: string;
  private processes: Background[] = [];
  private certificate = "";

  private constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
    this.token = randomBytes(16).toString("hex");
    this.kubeconfig = join(folder, "kubeconfig");
  }

  /** Starts one on free ports, in a folder of its own. */
  static async start(): Promise<ControlPlane> {
    const folder = await mkdtemp(join(tmpdir(), "llmops-control-plane-"));
    const plane = new ControlPlane(folder, await freePort());
    try {
      await plane.launch();
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.stop()));
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Sends a request; undefined where the answer is 404. */
  async request(method: string, path: string, body?: ApiObject): Promise<ApiObject | undefined> {
    const patch = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const { code, text } = await this.exchange(method, path, patch, body);
    if (code === 404) {
      return undefined;
    }
    if (code >= 300) {
      throw new Error(`${method} ${path}: ${code} ${text}`);
    }
    return JSON.parse(text) as ApiObject;
  }

  private exchange(
    method: string,
    path: string,
    type: string,
    body?: ApiObject,
  ): Promise<{ code: number; text: string }> {
    const payload = body === undefined ? "" : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${this.token}`,
      "content-type": type,
      "content-length": String(Buffer.byteLength(payload)),
    };
    const options = { method, headers, ca: this.certificate, agent: false };
    return new Promise((resolve, reject) => {
      const url = `https://127.0.0.1:${this.port}${path}`;
      const request = https.request(url, options, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") });
        });
      });
      request.on("error", reject);
      request.end(payload);
    });
  }

  private file(name: string): string {
    return join(this.folder, name);
  }

  private start(command: string, flags: Record<string, string>): void {
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    this.processes.push(new Background(command, args, toolsEnvironment()));
  }

  private async launch(): Promise<void> {
    const [client, peer] = [await freePort(), await freePort()];
    const etcd = `http://127.0.0.1:${client}`;
    this.start("etcd", {
      "data-dir": this.file("etcd"),
      "listen-client-urls": etcd,
      "advertise-client-urls": etcd,
      "listen-peer-urls": `http://127.0.0.1:${peer}`,
      "initial-advertise-peer-urls": `http://127.0.0.1:${peer}`,
      "initial-cluster": `default=http://127.0.0.1:${peer}`,
      "unsafe-no-fsync": "true",
      "log-level": "error",
    });
    await this.writeCredentials();
    this.start("kube-apiserver", {
      "etcd-servers": etcd,
      "bind-address": "127.0.0.1",
      "secure-port": String(this.port),
      "cert-dir": this.file("certs"),
      "token-auth-file": this.file("tokens.csv"),
      "authorization-mode": "AlwaysAllow",
      "service-account-issuer": "https://kubernetes.default.svc",
      "service-account-key-file": this.file("service-accounts.key"),
      "service-account-signing-key-file": this.file("service-accounts.key"),
      "service-cluster-ip-range": "10.96.0.0/16",
      "endpoint-reconciler-type": "none",
      "disable-admission-plugins": "ServiceAccount",
    });
    await until("an API server that is ready", 90, async () => {
      this.processes.forEach((process) => process.check());
      this.certificate = await readFile(join(this.file("certs"), "apiserver.crt"), "utf8");
      const { text } = await this.exchange("GET", "/readyz", "application/json");
      return text === "ok" ? true : undefined;
    });
    await this.writeKubeconfig();
    this.start("kube-controller-manager", {
      kubeconfig: this.kubeconfig,
      controllers: controllers.join(","),
      "leader-elect": "false",
      "secure-port": "0",
    });
    await until("the namespace default", 30, () =>
      this.request("GET", "/api/v1/namespaces/default"),
    );
  }

  private async writeCredentials(): Promise<void> {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const key = privateKey.export({ type: "pkcs1", format: "pem" });
    await writeFile(this.file("service-accounts.key"), key, { mode: 0o600 });
    await writeFile(this.file("tokens.csv"), `${this.token},test,test,"system:masters"\n`, {
      mode: 0o600,
    });
  }

  private async writeKubeconfig(): Promise<void> {
    const cluster = {
      server: `https://127.0.0.1:${this.port}`,
      "certificate-authority-data": Buffer.from(this.certificate).toString("base64"),
    };
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster }],
      users: [{ name: "test", user: { token: this.token } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      "current-context": "test",
    };
    await writeFile(this.kubeconfig, JSON.stringify(config, undefined, 2), { mode: 0o600 });
  }
}
