/** What a program has of a training. */
export interface TrainingProgram {
  /** Settings of the training, beside those of a valid tree. */
  readonly training: object;
  /** @default "0a" */
  readonly commit?: string | undefined;
  /** Names of Secrets by the key that is read from them. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Text after the component, which is called `job`. */
  readonly after?: string;
}

/** A program with the component as a stack uses it. */
export const trainingProgram = ({
  training,
  commit = "0a",
  secrets = {},
  after = "",
}: TrainingProgram): string => `
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { TrainingJob } from "./components/trainingJob";
import { settingsOf, trainingOf, trainingTree } from "./tests/support/settings";
const training = ${JSON.stringify(training)};
const job = new TrainingJob("train", {
  namespace: "default",
  settings: settingsOf(trainingTree(training)),
  files: { settings: trainingOf(training), config: {}, data: {}, commit: "${commit}" },
  images: { training: pulumi.output("r/t@sha256:${"0".repeat(64)}") },
  claims: { modelOutput: "model-output-pvc", hubCache: undefined, trainingData: undefined },
  trackingUri: "http://mlflow:5000",
  secrets: ${JSON.stringify(secrets)},
});
${after}
`;
