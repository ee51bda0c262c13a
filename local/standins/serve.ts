import emptypb from "google-protobuf/google/protobuf/empty_pb.js";
import type { Struct } from "google-protobuf/google/protobuf/struct_pb.js";
import pluginpb from "@pulumi/pulumi/proto/plugin_pb.js";
import providergrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import pb from "@pulumi/pulumi/proto/provider_pb.js";
import type * as rpc from "@pulumi/pulumi/proto/provider_pb.js";
import { checkArgs, checkResponse, diffResponse, targetOf } from "./messages.ts";
import { addService, servePlugin, unary, type Engine } from "./plugin.ts";
import type { Provider } from "./provider.ts";
import { fromStruct, toStruct } from "./structs.ts";

function handlers(provider: Provider, name: string, engine: Engine) {
  const existing = (
    id: string,
    request: { getUrn(): string },
    state?: Struct,
    inputs?: Struct,
  ) => ({
    ...targetOf(request),
    id,
    state: fromStruct(state),
    inputs: fromStruct(inputs),
  });
  return {
    handshake: unary((request: rpc.ProviderHandshakeRequest) => {
      engine.connect(request.getEngineAddress());
      const response = new pb.ProviderHandshakeResponse();
      response.setAcceptSecrets(true);
      response.setSupportsAutonamingConfiguration(true);
      return response;
    }),
    getPluginInfo: unary(() => {
      const response = new pluginpb.PluginInfo();
      response.setVersion(provider.version);
      return response;
    }),
    getSchema: unary(() => {
      const response = new pb.GetSchemaResponse();
      response.setSchema(JSON.stringify({ name, version: provider.version }));
      return response;
    }),
    checkConfig: unary((request: rpc.CheckRequest) => {
      const response = new pb.CheckResponse();
      response.setInputs(toStruct(fromStruct(request.getNews())));
      return response;
    }),
    diffConfig: unary((request: rpc.DiffRequest) => {
      const olds = fromStruct(request.getOldInputs() ?? request.getOlds());
      const news = fromStruct(request.getNews());
      return diffResponse(provider.diffConfig?.(olds, news) ?? { changes: [] });
    }),
    configure: unary(async (request: rpc.ConfigureRequest) => {
      await provider.configure(fromStruct(request.getArgs()));
      const response = new pb.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      response.setSupportsAutonamingConfiguration(true);
      return response;
    }),
    check: unary(async (request: rpc.CheckRequest) =>
      checkResponse(await provider.check(checkArgs(request))),
    ),
    diff: unary(async (request: rpc.DiffRequest) => {
      const old = existing(request.getId(), request, request.getOlds(), request.getOldInputs());
      return diffResponse(await provider.diff(old, fromStruct(request.getNews())));
    }),
    create: unary(async (request: rpc.CreateRequest) => {
      const run = { preview: request.getPreview(), timeout: request.getTimeout() };
      const inputs = fromStruct(request.getProperties());
      const { id, state } = await provider.create(targetOf(request), inputs, run);
      const response = new pb.CreateResponse();
      response.setId(id);
      response.setProperties(toStruct(state));
      return response;
    }),
    read: unary(async (request: rpc.ReadRequest) => {
      const live = await provider.read(
        existing(request.getId(), request, request.getProperties(), request.getInputs()),
      );
      const response = new pb.ReadResponse();
      if (live !== undefined) {
        response.setId(live.id);
        response.setProperties(toStruct(live.state));
        response.setInputs(toStruct(live.inputs));
      }
      return response;
    }),
    update: unary(async (request: rpc.UpdateRequest) => {
      const run = { preview: request.getPreview(), timeout: request.getTimeout() };
      const old = existing(request.getId(), request, request.getOlds(), request.getOldInputs());
      const response = new pb.UpdateResponse();
      response.setProperties(
        toStruct(await provider.update(old, fromStruct(request.getNews()), run)),
      );
      return response;
    }),
    delete: unary(async (request: rpc.DeleteRequest) => {
      const run = { preview: false, timeout: request.getTimeout() };
      const old = existing(
        request.getId(),
        request,
        request.getProperties(),
        request.getOldInputs(),
      );
      await provider.delete(old, run);
      return new emptypb.Empty();
    }),
    cancel: unary(() => {
      provider.cancel?.();
      return new emptypb.Empty();
    }),
    invoke: unary((request: rpc.InvokeRequest) => {
      throw new Error(
        `the ${name} stand-in has no functions; the program called ${request.getTok()}`,
      );
    }),
  };
}

/** Serves a stand-in provider to the engine that started this process. */
export function serveProvider(name: string, provider: Provider, engine: Engine): Promise<void> {
  return servePlugin(engine, (server) => {
    addService(server, providergrpc.ResourceProviderService, handlers(provider, name, engine));
  });
}
