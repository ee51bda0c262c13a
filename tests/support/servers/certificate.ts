import { join } from "node:path";
import { output } from "../../../local/cluster/commands.ts";

/** A server's certificate in files. */
export interface Certificate {
  /** The authority that signed it. */
  readonly authority: string;
  readonly file: string;
  readonly key: string;
}

/** Makes an authority that nobody knows, and a certificate of it for an address, in a folder. */
export async function makeCertificate(folder: string, address: string): Promise<Certificate> {
  const file = (name: string): string => join(folder, name);
  const make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const common = [...make, "-noenc", "-days", "2"];
  await output("openssl", [
    ...[...common, "-subj", "/CN=a test's authority"],
    ...["-keyout", file("authority.key"), "-out", file("authority.crt")],
  ]);
  await output("openssl", [
    ...[...common, "-subj", "/CN=a test's server"],
    ...["-CA", file("authority.crt"), "-CAkey", file("authority.key")],
    ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-addext", `subjectAltName=IP:${address}`],
    ...["-keyout", file("server.key"), "-out", file("server.crt")],
  ]);
  return { authority: file("authority.crt"), file: file("server.crt"), key: file("server.key") };
}
