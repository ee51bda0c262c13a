import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { debianEnvironment } from "../../../local/cluster/environment.ts";
import type { Certificate } from "./certificate";
import { ServerProcess } from "./server";
import type { ServerOptions } from "./server";

/** Who may read the repository. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

/** What nginx serves as Artifactory would. */
export interface ArtifactoryOptions extends ServerOptions {
  /** Folder of the repositories: ranges, ETags, SHA-256 headers, and folder information. */
  readonly files: string;
  readonly login: Login;
  /** With it the server speaks TLS. */
  readonly certificate?: Certificate;
}

/** A running repository. */
export interface Artifactory {
  readonly url: string;
  /** Requests for files so far: method, path and status of each. */
  downloads(): readonly string[];
  stop(): Promise<void>;
}

/** Starts nginx over a folder. @throws where `make test` has not said where nginx is. */
export async function startArtifactory(options: ArtifactoryOptions): Promise<Artifactory> {
  const { place, port, folder, certificate } = options;
  const root = process.env["LLMOPS_SERVERS_ROOT"];
  if (root === undefined) throw new Error("LLMOPS_SERVERS_ROOT is not set: run make test-images");
  const config = join(folder, "nginx.conf");
  writeFolderInformation(options.files, join(folder, "information"));
  writeFileSync(join(folder, "passwords"), passwordLine(options.login), { mode: 0o600 });
  writeFileSync(config, configuration(options));
  const nginx = join(root, "usr", "sbin", "nginx");
  const server = await ServerProcess.start(
    options,
    [nginx, "-p", folder, "-e", join(folder, "error.log"), "-c", config],
    debianEnvironment(root),
  );
  const access = join(folder, "access.log");
  return {
    url: `${certificate === undefined ? "http" : "https"}://${place.address}:${port}`,
    downloads: () =>
      existsSync(access) ? (readFileSync(access, "utf8").match(/^GET (?!\/api\/).*$/gm) ?? []) : [],
    stop: () => server.stop(),
  };
}

function passwordLine({ user, password }: Login): string {
  const digest = createHash("sha1").update(password).digest("base64");
  return `${user}:{SHA}${digest}\n`;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

/** Answers of Artifactory's storage API, a file for each folder: what is directly in it. */
function writeFolderInformation(files: string, target: string): void {
  const folders = readdirSync(files, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const folder of folders) {
    const children = readdirSync(folder, { withFileTypes: true }).map((entry) => ({
      uri: `/${entry.name}`,
      folder: entry.isDirectory(),
    }));
    const file = join(target, "api", "storage", `${relative(files, folder)}.json`);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, JSON.stringify({ children }));
  }
}

/** One process, so that killing it leaves none. */
function configuration({ place, port, files, folder, certificate }: ArtifactoryOptions): string {
  const digests = filesBelow(files).map((file) => {
    const digest = createHash("sha256").update(readFileSync(join(files, file)));
    return `"/${file}" ${digest.digest("hex")};`;
  });
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const tls =
    certificate === undefined
      ? []
      : [`ssl_certificate ${certificate.file};`, `ssl_certificate_key ${certificate.key};`];
  return `daemon off;
master_process off;
pid ${folder}/nginx.pid;
events {}
http {
  ${temporary.join("\n  ")}
  log_format short '$request_method $uri $status';
  access_log ${folder}/access.log short;
  default_type application/octet-stream;
  map_hash_bucket_size 512;
  map $uri $sha256 {
    ${digests.join("\n    ")}
  }
  server {
    listen ${place.address}:${port}${certificate === undefined ? "" : " ssl"};
    ${tls.join("\n    ")}
    auth_basic Artifactory;
    auth_basic_user_file ${folder}/passwords;
    location / {
      root ${files};
      add_header X-Checksum-Sha256 $sha256;
    }
    location /api/storage/ {
      root ${folder}/information;
      default_type application/json;
      try_files $uri.json =404;
    }
  }
}
`;
}
