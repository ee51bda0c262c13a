import { Metadata, status } from "@grpc/grpc-js";
import anypb from "google-protobuf/google/protobuf/any_pb.js";
import pb from "@pulumi/pulumi/proto/provider_pb.js";
import type * as rpc from "@pulumi/pulumi/proto/provider_pb.js";
import statuspb from "@pulumi/pulumi/proto/status_pb.js";
import { pathText } from "./diff.ts";
import type { CheckArgs, Checked, Difference, Target } from "./provider.ts";
import { fromStruct, toStruct } from "./structs.ts";
import type { Props } from "./values.ts";

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

/** The resource a request is about. */
export function targetOf(request: { getUrn(): string }): Target {
  const [, , types = "", ...name] = request.getUrn().split("::");
  return {
    urn: request.getUrn(),
    type: types.slice(types.lastIndexOf("$") + 1),
    name: name.join("::"),
  };
}

/** A difference as the engine takes it. */
export function diffResponse(difference: Difference): rpc.DiffResponse {
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

/** Checked inputs as the engine takes them. */
export function checkResponse(checked: Checked): rpc.CheckResponse {
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

/** What a check is told. */
export function checkArgs(request: rpc.CheckRequest): CheckArgs {
  const modes = ["propose", "enforce", "disable"] as const;
  const autonaming = request.getAutonaming();
  return {
    ...targetOf(request),
    olds: fromStruct(request.getOlds()),
    news: fromStruct(request.getNews()),
    seed: request.getRandomseed_asU8(),
    autonaming: {
      name: autonaming?.getProposedName() ?? "",
      mode: modes[autonaming?.getMode() ?? 0],
    },
  };
}
