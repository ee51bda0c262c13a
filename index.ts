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
import { endpoints as endpointsOf } from "./workloads/endpoints";
import { googlePlace } from "./workloads/gcp";
import { managedSource } from "./workloads/secretManager";
import { afterTraining } from "./workloads/servedRun";

const { settings, secrets, generated, training: files } = loadConfig(__dirname);

const place = googlePlace(settings);
const foundation = place && new Foundation("gcp", { place, settings, secrets });
const images = new Images("images", { settings }, { dependsOn: foundation?.storage ?? [] });

const provider = new k8s.Provider("cluster", foundation?.cluster ?? settings.cluster);
const inCluster = { provider, dependsOn: foundation ?? [] };
const { namespace } = new PlatformNamespace("llmops", settings, inCluster);
const claims = new ModelStorage("storage", { namespace, settings }, { provider });
const given = { namespace, secrets, generated, managed: managedSource(settings) };
const credentials = new Credentials("credentials", given, { provider });

// What everything in the namespace is made from; each component says which of it it uses.
const { names, apiKey, apiKeySecret } = credentials;
const platform = { namespace, settings, images, claims, secrets: names };

const { trackingUri } = new Mlflow("mlflow", platform, { provider });
const run = files && { ...platform, files, trackingUri };
const training = run && new TrainingJob("llama-factory-train", run, { provider });

const trained = files && training && { ...files, runId: training.runId };
for (const model of settings.models) {
  // A run is served only after it has succeeded, whatever the path says already.
  const dependsOn = training && afterTraining(model, trained) ? [training] : [];
  const server = { ...platform, model, trained, apiKeySecret };
  new ModelServer(model.name, server, { provider, dependsOn });
}

if (images.frontDoor !== undefined) {
  const door = { ...platform, image: images.frontDoor, apiKey, traceHeaders: secrets.OTLP_HEADERS };
  new FrontDoor("front-door", door, { provider });
}
if (settings.board.enabled) new Board("llama-board", platform, { provider });
if (settings.monitoring.enabled) new Monitoring("monitoring", platform, { provider });

export const endpoints = endpointsOf(settings);
export const models = settings.models.map(({ name }) => name);
export const runId = training?.runId;
export const vllmApiKey = apiKey;
