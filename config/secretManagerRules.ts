import type { Fault } from "./faults";
import { removeCommand, setCommand } from "./faults";
import type { Settings } from "./schema";
import { managedSecrets } from "./secretManager";

/** Faults of secrets from Secret Manager that only several settings together show. */
export function secretManagerFaults(settings: Settings): Fault[] {
  const { gcp } = settings;
  const managed = managedSecrets(settings);
  const [first] = Object.keys(managed);
  if (gcp === undefined || first === undefined) return [];
  const why = `since gcp.secretManager.${first} is read from Secret Manager`;
  const needed = [
    ["gcp.project", gcp.project, "<project id>", `the project of the secrets, ${why}`],
    [
      "gcp.workloadIdentity.secrets",
      gcp.workloadIdentity.secrets,
      `llmops-secrets@${gcp.project ?? "<project>"}.iam.gserviceaccount.com`,
      `the account that reads them, ${why}`,
    ],
  ] as const;
  const password = "MLFLOW_DB_PASSWORD";
  const byProgram = gcp.cloudSql !== undefined && managed[password] !== undefined;
  const key = `gcp.secretManager.${password}`;
  return [
    ...needed.flatMap(([name, value, example, allowed]) =>
      value === undefined
        ? [{ key: name, got: "nothing", allowed, fix: setCommand(name, example) }]
        : [],
    ),
    ...(byProgram
      ? [
          {
            key,
            got: "a version, with gcp.cloudSql",
            allowed: `not set: the stack makes the database's user, and needs ${password} for it`,
            fix: `${removeCommand(key)} && pulumi config set --secret ${password}`,
          },
        ]
      : []),
  ];
}
