import { createHash } from "node:crypto";

import { tarArchive, type TarEntry } from "./tar.ts";

/** What is in an image of one executable. */
export interface OciImage {
  /** Full name with tag. */
  readonly name: string;
  /** Path of the executable inside, from the root. */
  readonly path: string;
  readonly executable: Buffer;
  /** `uid:gid`. */
  readonly user: string;
}

/** An image as an OCI layout in a tar archive, and the digest that names it. The same input gives the same bytes. */
export function ociArchive(image: OciImage): { archive: Buffer; digest: string } {
  const layer = tarArchive([{ name: image.path.slice(1), data: image.executable, mode: 0o755 }]);
  const blobs: Buffer[] = [];
  const add = (mediaType: string, data: Buffer): Descriptor => {
    blobs.push(data);
    return { mediaType, digest: sha256(data), size: data.length };
  };
  const layerDescriptor = add("application/vnd.oci.image.layer.v1.tar", layer);
  const config = add(
    "application/vnd.oci.image.config.v1+json",
    json({
      architecture: "amd64",
      os: "linux",
      config: { User: image.user, Entrypoint: [image.path], WorkingDir: "/" },
      rootfs: { type: "layers", diff_ids: [layerDescriptor.digest] },
    }),
  );
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = add(
    manifestType,
    json({ schemaVersion: 2, mediaType: manifestType, config, layers: [layerDescriptor] }),
  );
  const annotations = { "io.containerd.image.name": image.name };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  const files: TarEntry[] = [
    { name: "oci-layout", data: json({ imageLayoutVersion: "1.0.0" }), mode: 0o644 },
    { name: "index.json", data: json(index), mode: 0o644 },
    ...blobs.map((data) => ({
      name: `blobs/sha256/${sha256(data).slice("sha256:".length)}`,
      data,
      mode: 0o644,
    })),
  ];
  return { archive: tarArchive(files), digest: manifest.digest };
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256(data: Buffer): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
