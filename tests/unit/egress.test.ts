import { egressPolicies } from "../../workloads/egress";
import {
  IDENTITY,
  REMOTE_SOURCES,
  settingsOf,
  sourceTree,
  trainingTree,
  validTree,
} from "../support/settings";

const policies = (tree: Record<string, unknown>) => egressPolicies(settingsOf(tree));
const training = (change: object): Record<string, unknown> => {
  const tree = trainingTree();
  return { ...tree, training: { ...(tree["training"] as object), ...change } };
};
const pods = (component: string, ...values: string[]) => ({
  matchLabels: { "app.kubernetes.io/component": component },
  matchExpressions: [{ key: "app.kubernetes.io/instance", operator: "In", values }],
});
const https = [{ protocol: "TCP", port: 443 }];

describe("ways out of the cluster", () => {
  test("none where models lie on volumes", () => {
    expect(policies(validTree())).toEqual({});
    expect(policies(trainingTree())).toEqual({});
  });

  test("to every public address on port 443, for the pods that download, unless addresses are named", () => {
    expect(policies(sourceTree(REMOTE_SOURCES.huggingface))).toEqual({
      "inference-to-repositories": {
        podSelector: pods("inference", "base"),
        policyTypes: ["Egress"],
        egress: [
          {
            to: [
              {
                ipBlock: {
                  cidr: "0.0.0.0/0",
                  except: [
                    ...["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"],
                    ...["172.16.0.0/12", "192.168.0.0/16"],
                  ],
                },
              },
            ],
            ports: https,
          },
        ],
      },
    });
  });

  test("to the named addresses and ports only", () => {
    const egress = [{ cidr: "192.0.2.10/32" }, { cidr: "192.0.2.20/32", ports: [8443, 4443] }];
    const tree = sourceTree(REMOTE_SOURCES.artifactory, { network: { egress } });
    expect(policies(tree)["inference-to-repositories"]?.egress).toEqual([
      { to: [{ ipBlock: { cidr: "192.0.2.10/32" } }], ports: https },
      {
        to: [{ ipBlock: { cidr: "192.0.2.20/32" } }],
        ports: [8443, 4443].map((port) => ({ protocol: "TCP", port })),
      },
    ]);
  });

  test("nowhere with an empty list: what is let out is then somebody else's policy", () => {
    const tree = sourceTree(REMOTE_SOURCES.artifactory, { network: { egress: [] } });
    expect(policies(tree)).toEqual({});
  });

  test("not for the model beside it that lies on a volume", () => {
    const models = [
      { name: "far", source: REMOTE_SOURCES.huggingface },
      { name: "near", source: { kind: "volume", path: "m" } },
    ];
    const made = policies({ ...validTree(), models });
    expect(made["inference-to-repositories"]?.podSelector).toEqual(pods("inference", "far"));
  });

  test.each<[string, object]>([
    ["a base model", { baseModel: REMOTE_SOURCES.huggingface }],
    ["publishing", { publish: { kind: "artifactory", target: "models/tuned" } }],
    ["W&B", { tracking: { wandb: true } }],
    [
      "both",
      {
        baseModel: REMOTE_SOURCES.artifactory,
        publish: { kind: "artifactory", target: "models/tuned" },
      },
    ],
  ])("for the training Job with %s", (_, change) => {
    const made = policies(training(change));
    expect(Object.keys(made)).toEqual(["training-to-repositories"]);
    expect(made["training-to-repositories"]?.podSelector).toEqual(
      pods("training", "llama-factory-train"),
    );
  });

  test("not for W&B that is offline", () => {
    expect(policies(training({ tracking: { wandb: true, wandbMode: "offline" } }))).toEqual({});
  });

  test("to the metadata server only for buckets that are used by identity", () => {
    const { download, mount } = REMOTE_SOURCES;
    for (const source of [download, mount]) {
      const made = policies(sourceTree(source, IDENTITY));
      expect(made["inference-to-metadata-server"]?.egress).toEqual([
        {
          to: [{ ipBlock: { cidr: "169.254.169.252/32" } }],
          ports: [{ protocol: "TCP", port: 988 }],
        },
        {
          to: [{ ipBlock: { cidr: "169.254.169.254/32" } }],
          ports: [{ protocol: "TCP", port: 80 }],
        },
      ]);
    }
    for (const tree of [
      sourceTree(download),
      sourceTree({ ...download, anonymous: true }, IDENTITY),
      sourceTree(REMOTE_SOURCES.huggingface, IDENTITY),
    ]) {
      expect(Object.keys(policies(tree))).toEqual(["inference-to-repositories"]);
    }
  });
});
