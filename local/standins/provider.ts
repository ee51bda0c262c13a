import { Metadata, status } from "@grpc/grpc-js";
import anypb from "google-protobuf/google/protobuf/any_pb.js";
import emptypb from "google-protobuf/google/protobuf/empty_pb.js";
import structpb from "google-protobuf/google/protobuf/struct_pb.js";
import type { Struct } from "google-protobuf/google/protobuf/struct_pb.js";
import pluginpb from "@pulumi/pulumi/proto/plugin_pb.js";
import providergrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import pb from "@pulumi/pulumi/proto/provider_pb.js";
import type * as rpc from "@pulumi/pulumi/proto/provider_pb.js";
import statuspb from "@pulumi/pulumi/proto/status_pb.js";
import { addService, servePlugin, unary, type Engine } from "./plugin.ts";
import { pathText, type Change } from "./diff.ts";
import type { Props } from "./values.ts";

/** What every operation on a resource is told. */
export interface Target {
  readonly urn: string;
  /** The type token, such as `kubernetes:core/v1:Secret`. */
  readonly type: string;
  /** The logical name. */
  readonly name: string;
}

/** A resource that exists. */
export interface Existing extends Target {
  readonly id: string;
  /** The outputs of the last update. */
  readonly state: Props;
  /** The inputs of the last update. */
  readonly inputs: Props;
}

/** What check is told. */
export interface CheckArgs extends Target {
  readonly olds: Props;
  readonly news: Props;
  readonly seed: Uint8Array;
  readonly autonaming: { readonly name: string; readonly mode: "propose" | "enforce" | "disable" };
}

/** Checked inputs, and what is wrong with them. */
export interface Checked {
  readonly inputs: Props;
  readonly failures?: readonly { readonly property: string; readonly reason: string }[];
}

/** What an update would do. */
export interface Difference {
  readonly changes: readonly Change[];
  readonly replaces?: readonly Change[];
  /** Replace although no property asks for it; the text names the reason. */
  readonly replaceFor?: string;
  readonly deleteBeforeReplace?: boolean;
}

/** How an operation is to run. */
export interface Run {
  readonly preview: boolean;
  /** Seconds given by customTimeouts, or 0. */
  readonly timeout: number;
}

/** A resource as it is now. */
export interface Live {
  readonly id: string;
  readonly state: Props;
  readonly inputs: Props;
}

/** The operations of a stand-in provider. */
export interface Provider {
  readonly version: string;
  configure(config: Props): Promise<void>;
  diffConfig?(olds: Props, news: Props): Difference;
  check(args: CheckArgs): Promise<Checked>;
  diff(existing: Existing, news: Props): Promise<Difference>;
  create(target: Target, inputs: Props, run: Run): Promise<{ id: string; state: Props }>;
  read(existing: Existing): Promise<Live | undefined>;
  update(existing: Existing, news: Props, run: Run): Promise<Props>;
  delete(existing: Existing, run: Run): Promise<void>;
  cancel?(): void;
}

/** The resource exists, but did not become ready; the engine keeps it in its state and tries again. */
export class InitFailed extends Error {
  readonly code = status.UNKNOWN;
  readonly metadata = new Metadata();

  constructor(message: string, id: string, state: Props, inputs: Props, reasons: string[]) {
    super(message);
    const detail = new pb.ErrorResourceInitFailed();
    detail.setId(id);
    detail.setProperties(toStruct(state));
    detail.setInputs(toStruct(inputs));
    detail.setReasonsList(reasons);
    const packed = new anypb.Any();
    packed.pack(detail.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
    const full = new statuspb.Status();
    full.setCode(this.code);
    full.setMessage(message);
    full.addDetails(packed);
    this.metadata.add("grpc-status-details-bin", Buffer.from(full.serializeBinary()));
  }
}

function toStruct(props: Props): Struct {
  return structpb.Struct.fromJavaScript(props);
}

function fromStruct(struct: Struct | undefined): Props {
  return (struct?.toJavaScript() ?? {}) as Props;
}

function targetOf(request: { getUrn(): string }): Target {
  const [, , types = "", ...name] = request.getUrn().split("::");
  return {
    urn: request.getUrn(),
    type: types.slice(types.lastIndexOf("$") + 1),
    name: name.join("::"),
  };
}

function diffResponse(difference: Difference): rpc.DiffResponse {
  const { changes, replaces = [], replaceFor, deleteBeforeReplace = false } = difference;
  const { Kind } = pb.PropertyDiff;
  const kinds = {
    add: [Kind.ADD, Kind.ADD_REPLACE],
    delete: [Kind.DELETE, Kind.DELETE_REPLACE],
    update: [Kind.UPDATE, Kind.UPDATE_REPLACE],
  } as const;
  const response = new pb.DiffResponse();
  response.setHasdetaileddiff(true);
  for (const change of changes) {
    const property = new pb.PropertyDiff();
    property.setKind(kinds[change.kind][replaces.includes(change) ? 1 : 0]);
    property.setInputdiff(true);
    response.getDetaileddiffMap().set(pathText(change.path), property);
  }
  const reasons = replaces.map((change) => pathText(change.path));
  response.setReplacesList(replaceFor === undefined ? reasons : [...reasons, replaceFor]);
  const { DiffChanges } = pb.DiffResponse;
  const same = changes.length === 0 && replaceFor === undefined;
  response.setChanges(same ? DiffChanges.DIFF_NONE : DiffChanges.DIFF_SOME);
  response.setDiffsList([...new Set(changes.map((change) => String(change.path[0])))]);
  response.setDeletebeforereplace(deleteBeforeReplace);
  return response;
}

function checkResponse(checked: Checked): rpc.CheckResponse {
  const response = new pb.CheckResponse();
  response.setInputs(toStruct(checked.inputs));
  for (const { property, reason } of checked.failures ?? []) {
    const failure = new pb.CheckFailure();
    failure.setProperty(property);
    failure.setReason(reason);
    response.addFailures(failure);
  }
  return response;
}

function checkArgs(request: rpc.CheckRequest): CheckArgs {
  const modes = ["propose", "enforce", "disable"] as const;
  const autonaming = request.getAutonaming();
  return {
    ...targetOf(request),
    olds: fromStruct(request.getOlds()),
    news: fromStruct(request.getNews()),
    seed: request.getRandomseed_asU8(),
    autonaming: {
      name: autonaming?.getProposedName() ?? "",
      mode: modes[autonaming?.getMode() ?? 0] ?? "propose",
    },
  };
}

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
      response.setInputs(request.getNews());
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
