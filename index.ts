import * as k8s from "@pulumi/kubernetes";
import { Board } from "./components/board";
import { Credentials } from "./components/credentials";
import { FrontDoor } from "./components/frontDoor";
import { Foundation } from "./components/foundation";
import { Images } from "./components/images";
import { Mlflow } from "./components/mlflow";
import { ModelServer } from "./components/modelServer";
import { ModelStorage } from "./components/modelStorage";
import { Monitoring } from "./components/monitoring";
import { PlatformNamespace } from "./components/platformNamespace";
import { TrainingJob } from "./components/trainingJob";
import { loadConfig } from "./config/load";
import { hasIdentity } from "./config/usedSources";
import { endpoints as endpointsOf } from "./workloads/endpoints";
import { googlePlace } from "./workloads/gcp";
import { afterTraining } from "./workloads/servedRun";

const { settings, secrets, generated, training: files } = loadConfig(__dirname);
const { accelerator, pullSecrets } = settings.images;

const place = googlePlace(settings);
const foundation = place && new Foundation("gcp", { place, settings, secrets });
const images = new Images("images", { settings }, { dependsOn: foundation?.storage ?? [] });

const provider = new k8s.Provider("cluster", foundation?.cluster ?? settings.cluster);
const inCluster = { provider, dependsOn: foundation ?? [] };
const { namespace } = new PlatformNamespace("llmops", settings, inCluster);
const volumes = { namespace, settings: settings.storage };
const storage = new ModelStorage("storage", volumes, { provider });
const credentials = new Credentials("credentials", { namespace, secrets, generated }, { provider });

const { names: secretNames, apiKeySecret, apiKey } = credentials;
const pod = { namespace, accelerator, pullSecrets };
const claims = { modelOutput: storage.modelOutput, hubCache: storage.hubCache };
const modelPod = { ...pod, claims, secrets: secretNames };

const mlflow = new Mlflow(
  "mlflow",
  { ...pod, settings, images, claims: storage, secrets: secretNames },
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
      dcgmExporter: settings.images.dcgmExporter,
    },
    { provider },
  );

const trained = files && training && { ...files, runId: training.runId };
for (const model of settings.models) {
  new ModelServer(
    model.name,
    {
      ...modelPod,
      settings: model,
      image: images.inference,
      trained,
      apiKeySecret,
      identity: hasIdentity(settings, "inference"),
    },
    // A run is served only after it has succeeded, whatever the path says already.
    { provider, dependsOn: afterTraining(model, trained) && training ? [training] : [] },
  );
}

if (images.frontDoor !== undefined) {
  new FrontDoor("front-door", { ...pod, settings, image: images.frontDoor, apiKey }, { provider });
}
if (settings.board.enabled) {
  const board = { ...pod, claims, settings: settings.board, image: images.training };
  new Board("llama-board", { ...board, dataClaim: storage.trainingData }, { provider });
}
if (settings.monitoring.enabled)
  new Monitoring("monitoring", { namespace, settings }, { provider });

export const endpoints = endpointsOf(settings);
export const models = settings.models.map(({ name }) => name);
export const runId = training?.runId;
export const vllmApiKey = apiKey;
