import * as k8s from "@pulumi/kubernetes";
import { Credentials } from "./components/credentials";
import { Foundation } from "./components/foundation";
import { Images } from "./components/images";
import { Mlflow } from "./components/mlflow";
import { ModelServer } from "./components/modelServer";
import { ModelStorage } from "./components/modelStorage";
import { PlatformNamespace } from "./components/platformNamespace";
import { TrainingJob } from "./components/trainingJob";
import { loadConfig } from "./config/load";
import { hasIdentity } from "./config/usedSources";
import { endpoints as endpointsOf } from "./workloads/endpoints";
import { googlePlace } from "./workloads/gcp";
import { servedModelPath } from "./workloads/source";

const { settings, secrets, training: files } = loadConfig(__dirname);
const { accelerator, pullSecrets } = settings.images;

const place = googlePlace(settings);
const foundation = place && new Foundation("gcp", { place, settings, secrets });
const afterRegistry = { dependsOn: foundation?.storage ?? [] };
const images = new Images("images", { settings: settings.images }, afterRegistry);

const provider = new k8s.Provider("cluster", foundation?.cluster ?? settings.cluster);
const inCluster = { provider, dependsOn: foundation ?? [] };
const { namespace } = new PlatformNamespace("llmops", settings, inCluster);
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

for (const model of settings.models) {
  new ModelServer(
    model.name,
    {
      ...modelPod,
      settings: model,
      image: images.inference,
      modelPath: servedModelPath(model.source, training?.modelFolder),
      apiKeySecret,
      identity: hasIdentity(settings, "inference"),
    },
    // A run is served only after it has succeeded, whatever the path says already.
    { provider, dependsOn: model.source.kind === "training" && training ? [training] : [] },
  );
}

export const endpoints = endpointsOf(settings);
export const models = settings.models.map(({ name }) => name);
export const runId = training?.runId;
export const vllmApiKey = credentials.apiKey;
