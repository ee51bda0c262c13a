import { ControlPlane } from "./controlPlane";
import { PulumiProject } from "./pulumiProject";

/** A control plane for all tests of a file, and for each test a project of its own that works on it. */
export function useEngine(): { readonly plane: ControlPlane; readonly project: PulumiProject } {
  let plane: ControlPlane;
  let project: PulumiProject;
  beforeAll(async () => {
    plane = await ControlPlane.start();
  }, 180_000);
  afterAll(() => plane.stop());
  beforeEach(async () => {
    project = await PulumiProject.create({ KUBECONFIG: plane.kubeconfig });
  }, 60_000);
  afterEach(() => project.remove());
  return {
    get plane() {
      return plane;
    },
    get project() {
      return project;
    },
  };
}
