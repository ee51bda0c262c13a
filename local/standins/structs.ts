import structpb from "google-protobuf/google/protobuf/struct_pb.js";
import type { Struct } from "google-protobuf/google/protobuf/struct_pb.js";
import type { BinaryReader } from "google-protobuf";
import type { Json, Props } from "./values.ts";

const read = new WeakMap<Struct, Props>();

// The library makes a message of every value and a map of every object, and JSON of these: a third of a plugin's time in a
// preview. What arrives is read as JSON at once.
structpb.Struct.deserializeBinaryFromReader = (struct, reader) => {
  read.set(struct, object(reader));
  return struct;
};

/** Properties as the engine has sent them. */
export function fromStruct(struct: Struct | undefined): Props {
  return (struct && read.get(struct)) ?? {};
}

/** Properties as the engine takes them. */
export function toStruct(props: Props): Struct {
  return structpb.Struct.fromJavaScript(props);
}

/** Reads a message inside another. */
function within<T>(reader: BinaryReader, message: (reader: BinaryReader) => T): T {
  const found: T[] = [];
  reader.readMessage(undefined, () => found.push(message(reader)));
  return found[0] as T;
}

/** `Struct`: one field, a map, of which each entry is a message. */
function object(reader: BinaryReader): Props {
  const props: Props = {};
  while (reader.nextField()) {
    const [key, item] = within(reader, entry);
    props[key] = item;
  }
  return props;
}

function entry(reader: BinaryReader): [string, Json] {
  const found: [string, Json] = ["", null];
  while (reader.nextField()) {
    if (reader.getFieldNumber() === 1) found[0] = reader.readString();
    else found[1] = within(reader, value);
  }
  return found;
}

/** `ListValue` */
function list(reader: BinaryReader): Json[] {
  const items: Json[] = [];
  while (reader.nextField()) items.push(within(reader, value));
  return items;
}

/** `Value`, whose fields are the kinds that it may be of. */
function value(reader: BinaryReader): Json {
  let found: Json = null;
  while (reader.nextField()) {
    const kind = reader.getFieldNumber();
    if (kind === 2) found = reader.readDouble();
    else if (kind === 3) found = reader.readString();
    else if (kind === 4) found = reader.readBool();
    else if (kind === 5) found = within(reader, object);
    else if (kind === 6) found = within(reader, list);
    else reader.skipField();
  }
  return found;
}
