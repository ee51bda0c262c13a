import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ociArchive } from "../../../local/cluster/ociImage";
import { tarArchive } from "../../../local/cluster/tar";

const image = {
  name: "registry.k8s.io/pause:3.10.1",
  path: "/bin/pause",
  executable: Buffer.from("#!/bin/true\n"),
  user: "65535:65535",
};

interface Named {
  readonly digest: string;
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmops-oci-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function unpack(archive: Buffer, target: string): void {
  execFileSync("tar", ["-x", "-C", target], { input: archive });
}

it("gives the same bytes for the same input", () => {
  expect(ociArchive(image)).toEqual(ociArchive(image));
});

it("is an OCI layout in which every blob has its digest's name", () => {
  const { archive, digest } = ociArchive(image);
  unpack(archive, folder);
  const read = (file: string): Buffer => readFileSync(join(folder, file));
  const blob = (name: string): Buffer => {
    const data = read(`blobs/${name.replace(":", "/")}`);
    expect(`sha256:${createHash("sha256").update(data).digest("hex")}`).toBe(name);
    return data;
  };
  const index = JSON.parse(read("index.json").toString()) as { manifests: Named[] };
  expect(index.manifests[0]).toMatchObject({
    digest,
    annotations: { "io.containerd.image.name": image.name },
  });
  const manifest = JSON.parse(blob(digest).toString()) as { config: Named; layers: [Named] };
  const config = JSON.parse(blob(manifest.config.digest).toString()) as unknown;
  expect(config).toMatchObject({
    config: { User: "65535:65535", Entrypoint: ["/bin/pause"], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: [manifest.layers[0].digest] },
  });
  writeFileSync(join(folder, "layer.tar"), blob(manifest.layers[0].digest));
  const listed = execFileSync("tar", ["-tvf", join(folder, "layer.tar")]).toString();
  expect(listed).toMatch(/^-rwxr-xr-x 0\/0 .* bin\/pause$/m);
});

it.each([0, 1, 511, 512, 513])("keeps a file of %i bytes", (size) => {
  const data = Buffer.alloc(size, "x");
  unpack(tarArchive([{ name: "file", data, mode: 0o600 }]), folder);
  expect(readFileSync(join(folder, "file")).equals(data)).toBe(true);
});

it("refuses a path that does not fit", () => {
  const entry = { name: "x".repeat(101), data: Buffer.alloc(0), mode: 0o644 };
  expect(() => tarArchive([entry])).toThrow(/too long/);
});
