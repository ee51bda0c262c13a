import * as k8s from "@pulumi/kubernetes";
import { Credentials } from "./components/credentials";
import { Images } from "./components/images";
import { Mlflow } from "./components/mlflow";
import { ModelServer } from "./components/modelServer";
import { ModelStorage } from "./components/modelStorage";
import { PlatformNamespace } from "./components/platformNamespace";
import { TrainingJob } from "./components/trainingJob";
import { loadConfig } from "./config/load";
import { hasIdentity } from "./config/usedSources";
import { endpoints as endpointsOf } from "./workloads/endpoints";
import { servedModel } from "./workloads/servedRun";

const { settings, secrets, training: files } = loadConfig(__dirname);
const { accelerator, pullSecrets } = settings.images;

const provider = new k8s.Provider("cluster", settings.cluster);
const images = new Images("images", { settings: settings.images });

const { namespace } = new PlatformNamespace("llmops", settings, { provider });
const storage = new ModelStorage(
  "storage",
  { namespace, settings: settings.storage },
  { provider },
);
const credentials = new Credentials("credentials", { namespace, secrets }, { provider });

const { names: secretNames, apiKeySecret } = credentials;
const pod = { namespace, accelerator, pullSecrets };
const claims = { modelOutput: storage.modelOutput, hubCache: storage.hubCache };
const modelPod = { ...pod, claims, secrets: secretNames };

const mlflow = new Mlflow(
  "mlflow",
  { ...pod, settings, image: images.mlflow, claim: storage.mlflow },
  { provider },
);

const training =
  files &&
  new TrainingJob(
    "llama-factory-train",
    {
      ...modelPod,
      files,
      image: images.training,
      dataClaim: storage.trainingData,
      trackingUri: mlflow.trackingUri,
      identity: hasIdentity(settings, "training"),
    },
    { provider },
  );

const trained = files && training && { ...files, runId: training.runId };
for (const model of settings.models) {
  const { afterTraining, ...served } = servedModel(model.source, trained);
  new ModelServer(
    model.name,
    {
      ...modelPod,
      settings: model,
      image: images.inference,
      ...served,
      apiKeySecret,
      identity: hasIdentity(settings, "inference"),
    },
    // A run is served only after it has succeeded, whatever the path says already.
    { provider, dependsOn: afterTraining && training ? [training] : [] },
  );
}

export const endpoints = endpointsOf(settings);
export const models = settings.models.map(({ name }) => name);
export const runId = training?.runId;
export const vllmApiKey = credentials.apiKey;
