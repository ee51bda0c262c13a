import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
  /** Folder of the repositories: ranges, ETags, SHA-256 headers, folder information, uploads. */
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
  /** Uploads so far, in the same form. */
  uploads(): readonly string[];
  stop(): Promise<void>;
}

/** Starts nginx over a folder. @throws where `make test` has not said where nginx is. */
export async function startArtifactory(options: ArtifactoryOptions): Promise<Artifactory> {
  const { place, port, folder, certificate } = options;
  const root = process.env["LLMOPS_SERVERS_ROOT"];
  if (root === undefined) throw new Error("LLMOPS_SERVERS_ROOT is not set: run make test-images");
  const config = join(folder, "nginx.conf");
  writeFileSync(join(folder, "passwords"), passwordLine(options.login), { mode: 0o600 });
  writeFileSync(join(folder, "artifactory.pm"), INFORMATION);
  writeFileSync(config, configuration(options, root));
  const nginx = join(root, "usr", "sbin", "nginx");
  const server = await ServerProcess.start(
    options,
    [nginx, "-p", folder, "-e", join(folder, "error.log"), "-c", config],
    debianEnvironment(root),
  );
  const access = join(folder, "access.log");
  const requests = (pattern: RegExp): readonly string[] =>
    existsSync(access) ? (readFileSync(access, "utf8").match(pattern) ?? []) : [];
  return {
    url: `${certificate === undefined ? "http" : "https"}://${place.address}:${port}`,
    downloads: () => requests(/^GET (?!\/api\/).*$/gm),
    uploads: () => requests(/^PUT .*$/gm),
    stop: () => server.stop(),
  };
}

function passwordLine({ user, password }: Login): string {
  const digest = createHash("sha1").update(password).digest("base64");
  return `${user}:{SHA}${digest}\n`;
}

/** What Artifactory tells of its files: a file's SHA-256, and what is directly in a folder. */
const INFORMATION = `package Artifactory;
use Digest::SHA;
use JSON::PP;
use nginx;

my %known;

sub sha256 {
  my $file = shift->filename;
  return "" unless -f $file;
  my $version = join ":", (stat _)[1, 7, 9];
  my $found = $known{$file};
  return $found->[1] if $found && $found->[0] eq $version;
  my $digest = Digest::SHA->new(256)->addfile($file, "b")->hexdigest;
  $known{$file} = [$version, $digest];
  return $digest;
}

sub folder {
  my $r = shift;
  (my $path = $r->filename) =~ s{/api/storage(?=/)}{};
  opendir(my $handle, $path) or return HTTP_NOT_FOUND;
  my @children = map { { uri => "/$_", folder => -d "$path/$_" ? JSON::PP::true : JSON::PP::false } }
    sort grep { !/^\\.\\.?$/ } readdir $handle;
  $r->send_http_header("application/json");
  $r->print(JSON::PP->new->canonical->encode({ children => \\@children }));
  return OK;
}

1;
`;

/** One process, so that killing it leaves none, and all that it knows of files is in one place. */
function configuration(options: ArtifactoryOptions, root: string): string {
  const { place, port, files, folder, certificate } = options;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const tls =
    certificate === undefined
      ? []
      : [`ssl_certificate ${certificate.file};`, `ssl_certificate_key ${certificate.key};`];
  return `daemon off;
master_process off;
load_module ${root}/usr/lib/nginx/modules/ngx_http_perl_module.so;
pid ${folder}/nginx.pid;
events {}
http {
  ${temporary.join("\n  ")}
  log_format short '$request_method $uri $status';
  access_log ${folder}/access.log short;
  default_type application/octet-stream;
  perl_modules ${root}/usr/lib/x86_64-linux-gnu/perl5/5.36;
  perl_modules ${folder};
  perl_require artifactory.pm;
  perl_set $sha256 Artifactory::sha256;
  server {
    listen ${place.address}:${port}${certificate === undefined ? "" : " ssl"};
    ${tls.join("\n    ")}
    auth_basic Artifactory;
    auth_basic_user_file ${folder}/passwords;
    root ${files};
    location / {
      add_header X-Checksum-Sha256 $sha256;
      dav_methods PUT;
      create_full_put_path on;
      client_max_body_size 0;
    }
    location /api/storage/ {
      perl Artifactory::folder;
    }
  }
}
`;
}
