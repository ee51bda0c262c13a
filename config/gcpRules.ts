import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { Settings } from "./schema";

type Rule = (settings: Settings) => readonly Fault[];

/** Settings below `gcp` that make something. */
const MAKES = [
  "createServiceAccounts",
  "artifactRegistry",
  "modelBucket",
  "gke",
  "cloudSql",
] as const;

/** What can act as a Google service account. */
const ROLES = ["training", "inference", "mlflow", "secrets"] as const;

/** How the host of the images is called, whose name has the region in it. */
function registryFolder(region: string, project: string, repository: string): string {
  return `${region}-docker.pkg.dev/${project}/${repository}`;
}

const projectAndRegion: Rule = ({ gcp }) => {
  const maker = MAKES.find((name) => gcp?.[name] !== undefined && gcp[name] !== false);
  if (gcp === undefined || maker === undefined) return [];
  return (["project", "region"] as const).flatMap((name) =>
    gcp[name] === undefined
      ? [
          {
            key: `gcp.${name}`,
            got: "nothing",
            allowed: `a ${name}, since gcp.${maker} makes something in it`,
            fix: setCommand(`gcp.${name}`, name === "project" ? "<project id>" : "europe-west4"),
          },
        ]
      : [],
  );
};

const registry: Rule = ({ gcp, images }) => {
  if (gcp?.artifactRegistry === undefined) return [];
  if (gcp.project === undefined || gcp.region === undefined) return [];
  const folder = registryFolder(gcp.region, gcp.project, gcp.artifactRegistry.repository);
  if (images.registry === folder || images.registry.startsWith(`${folder}/`)) return [];
  return [
    {
      key: "images.registry",
      got: `"${images.registry}", which is not in gcp.artifactRegistry`,
      allowed: `${folder}, or a folder below it`,
      fix: setCommand("images.registry", folder),
    },
  ];
};

/** Account ids have 6 to 30 characters. Source: IAM API, projects.serviceAccounts.create. */
const ACCOUNT_ID = /^[a-z]([-a-z0-9]{4,28}[a-z0-9])$/;

const serviceAccounts: Rule = ({ gcp }) => {
  if (gcp?.createServiceAccounts !== true || gcp.project === undefined) return [];
  const { project, workloadIdentity } = gcp;
  const taken = new Map<string, string>();
  const given = ROLES.flatMap((role) => {
    const email = workloadIdentity[role];
    return email === undefined ? [] : [[role, email] as const];
  });
  if (given.length === 0) {
    return [
      {
        key: "gcp.createServiceAccounts",
        got: "true without gcp.workloadIdentity",
        allowed: "accounts to make",
        fix: setCommand(
          "gcp.workloadIdentity.training",
          `llmops-training@${project}.iam.gserviceaccount.com`,
        ),
      },
    ];
  }
  return given.flatMap(([role, email]) => {
    const key = `gcp.workloadIdentity.${role}`;
    const [id = "", domain] = email.split("@");
    const first = taken.get(email);
    taken.set(email, key);
    const fix = setCommand(key, `llmops-${role}@${project}.iam.gserviceaccount.com`);
    if (domain !== `${project}.iam.gserviceaccount.com` || !ACCOUNT_ID.test(id)) {
      return [
        {
          key,
          got: `"${email}" with gcp.createServiceAccounts`,
          allowed: `<id>@${project}.iam.gserviceaccount.com, the id with 6 to 30 letters, digits and '-'`,
          fix,
        },
      ];
    }
    return first === undefined
      ? []
      : [
          {
            key,
            got: `"${email}", the account of ${first} too`,
            allowed: "an account of its own",
            fix,
          },
        ];
  });
};

const bucketKey: Rule = ({ gcp }) => {
  const kmsKey = gcp?.modelBucket?.kmsKey;
  const location = kmsKey?.split("/")[3];
  if (location === undefined || gcp?.region === undefined || location === gcp.region) return [];
  return [
    {
      key: "gcp.modelBucket.kmsKey",
      got: `a key in ${location}`,
      allowed: `a key in ${gcp.region}, where the bucket is`,
      fix: removeCommand("gcp.modelBucket.kmsKey"),
    },
  ];
};

const databaseNetwork: Rule = ({ gcp }) => {
  const database = gcp?.cloudSql;
  if (database === undefined) return [];
  const key = "gcp.cloudSql.network";
  if (database.network === undefined && gcp?.gke === undefined) {
    const allowed = "the network of the cluster, since the instance has a private address only";
    const fix = setCommand(key, "projects/<project>/global/networks/<network>");
    return [{ key, got: "nothing, and no gcp.gke", allowed, fix }];
  }
  if (database.network !== undefined && gcp?.gke !== undefined) {
    const allowed = "not set: gcp.gke makes the network";
    return [{ key, got: `"${database.network}" with gcp.gke`, allowed, fix: removeCommand(key) }];
  }
  return [];
};

const RULES: readonly Rule[] = [
  projectAndRegion,
  registry,
  serviceAccounts,
  bucketKey,
  databaseNetwork,
];

/** Faults of what a stack makes on Google Cloud that only several settings together show. */
export function gcpFaults(settings: Settings): Fault[] {
  return RULES.flatMap((rule) => rule(settings));
}
