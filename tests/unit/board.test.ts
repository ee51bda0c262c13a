import { boardServiceSpec, boardSpec } from "../../workloads/board";
import { endpoints } from "../../workloads/endpoints";
import { networkPolicies } from "../../workloads/network";
import { settingsOf, validTree } from "../support/settings";

const settings = (board: object = {}) =>
  settingsOf({ ...validTree(), board: { enabled: true, ...board } });

const spec = (
  claims: { hubCache?: string; dataClaim?: string } = {},
  accelerator: "cpu" | "cuda" = "cpu",
) =>
  boardSpec({
    settings: settings().board,
    accelerator,
    image: "r/t@sha256:0",
    claims: { modelOutput: "model-output-pvc", hubCache: claims.hubCache },
    dataClaim: claims.dataClaim,
    secrets: { BOARD_PASSWORD: "board-secret-1", HF_TOKEN: "hf-secret-1" },
    pullSecrets: [],
  });

/** The pod's only container, and its volumes. */
function pod(...args: Parameters<typeof spec>) {
  const { template } = spec(...args) as {
    template: {
      spec: {
        containers: {
          command: string[];
          env: { name: string; value?: string }[];
          resources: { limits: object };
          volumeMounts: object[];
        }[];
        volumes: object[];
      };
    };
  };
  const [container] = template.spec.containers;
  if (container === undefined) throw new Error("the pod has a container");
  return { ...template.spec, container };
}

describe("the pod of LLaMA Board", () => {
  test("is one, ended before the next one starts", () => {
    expect(spec()).toMatchObject({ replicas: 1, strategy: { type: "Recreate" } });
  });

  test("writes to model-output-pvc only", () => {
    const { container, volumes } = pod({ hubCache: "hub-cache-pvc", dataClaim: "data-pvc" });
    expect(container.volumeMounts).toEqual([
      { name: "model-output", mountPath: "/app/output" },
      { name: "hub-cache", mountPath: "/models/sources", readOnly: true },
      { name: "train-data", mountPath: "/app/data", readOnly: true },
      { name: "shm", mountPath: "/dev/shm" },
    ]);
    expect(volumes).toEqual([
      { name: "model-output", persistentVolumeClaim: { claimName: "model-output-pvc" } },
      {
        name: "hub-cache",
        persistentVolumeClaim: { claimName: "hub-cache-pvc", readOnly: true },
      },
      { name: "train-data", persistentVolumeClaim: { claimName: "data-pvc", readOnly: true } },
      { name: "shm", emptyDir: { medium: "Memory", sizeLimit: "2Gi" } },
    ]);
  });

  test("has no volume for a claim that the stack has not", () => {
    expect(pod().volumes).toHaveLength(2);
  });

  test("starts in a folder that it may write to, and asks nobody outside", () => {
    const { container } = pod();
    expect(container.command).toEqual([
      "/bin/sh",
      "-c",
      "mkdir -p /app/output/board && cd /app/output/board && ln -sfn /app/data data && exec /opt/venv/bin/python -P -m llmops_training.board",
    ]);
    const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
    expect(env).toMatchObject({
      GRADIO_SERVER_NAME: "0.0.0.0",
      GRADIO_SERVER_PORT: "7860",
      GRADIO_ANALYTICS_ENABLED: "False",
      HF_HUB_OFFLINE: "1",
    });
  });

  test("reads its password, and no other secret", () => {
    expect(pod().container.env.filter(({ value }) => value === undefined)).toEqual([
      {
        name: "BOARD_PASSWORD",
        valueFrom: { secretKeyRef: { name: "board-secret-1", key: "BOARD_PASSWORD" } },
      },
    ]);
  });

  test("has a GPU where the images are for one", () => {
    expect(pod().container.resources.limits).toEqual({ memory: "16Gi" });
    expect(pod({}, "cuda").container.resources.limits).toEqual({
      memory: "16Gi",
      "nvidia.com/gpu": "1",
    });
  });
});

describe("who reaches the login of LLaMA Board", () => {
  const policy = (clients: object) =>
    networkPolicies(
      settingsOf({
        ...validTree(),
        board: { enabled: true, clients },
        network: { clientNamespaces: ["apps"], clientCidrs: ["10.0.0.0/8"] },
      }),
    )["board"];
  const selected = {
    podSelector: { matchLabels: { "app.kubernetes.io/component": "board" } },
    policyTypes: ["Ingress"],
  };

  test("nobody, unless named: to be a client of the models is not enough", () => {
    expect(policy({})).toEqual({ ...selected, ingress: [] });
  });

  test("the named namespaces and address ranges, on its port", () => {
    expect(policy({ namespaces: ["login"], cidrs: ["192.0.2.0/24"] })).toEqual({
      ...selected,
      ingress: [
        {
          from: [
            { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "login" } } },
            { ipBlock: { cidr: "192.0.2.0/24" } },
          ],
          ports: [{ protocol: "TCP", port: 7860 }],
        },
      ],
    });
  });

  test("outside of the cluster, through nodes that keep the caller's address", () => {
    expect(boardServiceSpec(settings().board)).not.toHaveProperty("externalTrafficPolicy");
    for (const type of ["NodePort", "LoadBalancer"]) {
      expect(boardServiceSpec(settings({ service: { type } }).board)).toMatchObject({
        type,
        externalTrafficPolicy: "Local",
      });
    }
  });
});

test("its endpoint is told where there is one", () => {
  const service = { type: "NodePort", nodePort: 30786 };
  expect(endpoints(settings({ service })).board).toEqual({
    url: "http://llama-board.llmops.svc:7860",
    nodePort: 30786,
  });
  expect(endpoints(settingsOf(validTree()))).not.toHaveProperty("board");
});
