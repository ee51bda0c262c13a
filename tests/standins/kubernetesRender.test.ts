import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { PulumiProject } from "../engine/support/pulumiProject";

const program = (port: number) => `
import * as k8s from "@pulumi/kubernetes";
const provider = new k8s.Provider("files", { renderYamlToDirectory: "rendered" });
new k8s.core.v1.Service("web", {
  metadata: { name: "web", namespace: "shop" }, spec: { ports: [{ port: ${port} }] },
}, { provider });
new k8s.core.v1.PersistentVolume("disk", {
  metadata: { name: "disk" },
  spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, hostPath: { path: "/disk" } },
}, { provider });
`;

test("objects become files without a cluster, follow the program, and go with it", async () => {
  const project = await PulumiProject.create({ KUBECONFIG: "/nowhere" });
  try {
    const folder = join(project.folder, "rendered", "1-manifest");
    const service = join(folder, "v1-service-shop-web.yaml");
    await project.program(program(80));
    expect(await project.planned()).toEqual({ create: 4 });
    await project.up();
    expect((await readdir(folder)).sort()).toEqual([
      "v1-persistentvolume-default-disk.yaml",
      "v1-service-shop-web.yaml",
    ]);
    expect(parse(await readFile(service, "utf8"))).toEqual({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "shop" },
      spec: { ports: [{ port: 80 }] },
    });
    await project.program(program(81));
    expect(await project.planned()).toEqual({ same: 3, update: 1 });
    await project.up();
    expect(await readFile(service, "utf8")).toContain("port: 81");
    await project.succeed("destroy", "--yes", "--skip-preview");
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await project.remove();
  }
}, 240_000);
