/**
 * Descriptors of Kubernetes protobuf messages, to decode them independently of src with the reflection of
 * @bufbuild/protobuf. The field numbers are those of `generated.proto` in k8s.io/api and k8s.io/apimachinery. Fields that
 * the embedded cluster does not write are not declared.
 */
import { create, createFileRegistry, type DescMessage, fromBinary, toJson } from "@bufbuild/protobuf"
import {
  Edition,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema
} from "@bufbuild/protobuf/wkt"
import { Schema } from "effect"

type FieldType = "string" | "bytes" | "int32" | "int64" | "bool" | "map" | MessageName

/** The number and type of a field. `map` is a map of strings to strings. */
type Field = readonly [number: number, type: FieldType, label?: "repeated"]

/** The messages. */
export type MessageName =
  | "Container"
  | "Deployment"
  | "DeploymentList"
  | "DeploymentSpec"
  | "DeploymentStatus"
  | "DeploymentStrategy"
  | "FieldsV1"
  | "IntOrString"
  | "LabelSelector"
  | "ListMeta"
  | "ManagedFieldsEntry"
  | "Namespace"
  | "NamespaceList"
  | "NamespaceSpec"
  | "NamespaceStatus"
  | "ObjectMeta"
  | "PodSpec"
  | "PodTemplateSpec"
  | "RawExtension"
  | "ResourceRequirements"
  | "RollingUpdateDeployment"
  | "Status"
  | "StatusCause"
  | "StatusDetails"
  | "Time"
  | "TypeMeta"
  | "Unknown"
  | "WatchEvent"

/** The fields of some messages. */
export type Messages = Readonly<Record<string, Readonly<Record<string, Field>>>>

/** All messages that the embedded cluster writes. */
export const messages = {
  TypeMeta: { apiVersion: [1, "string"], kind: [2, "string"] },
  Unknown: {
    typeMeta: [1, "TypeMeta"],
    raw: [2, "bytes"],
    contentEncoding: [3, "string"],
    contentType: [4, "string"]
  },
  RawExtension: { raw: [1, "bytes"] },
  WatchEvent: { type: [1, "string"], object: [2, "RawExtension"] },
  Time: { seconds: [1, "int64"], nanos: [2, "int32"] },
  ListMeta: {
    selfLink: [1, "string"],
    resourceVersion: [2, "string"],
    continue: [3, "string"],
    remainingItemCount: [4, "int64"]
  },
  FieldsV1: { Raw: [1, "bytes"] },
  ManagedFieldsEntry: {
    manager: [1, "string"],
    operation: [2, "string"],
    apiVersion: [3, "string"],
    time: [4, "Time"],
    fieldsType: [6, "string"],
    fieldsV1: [7, "FieldsV1"],
    subresource: [8, "string"]
  },
  ObjectMeta: {
    name: [1, "string"],
    generateName: [2, "string"],
    namespace: [3, "string"],
    selfLink: [4, "string"],
    uid: [5, "string"],
    resourceVersion: [6, "string"],
    generation: [7, "int64"],
    creationTimestamp: [8, "Time"],
    deletionTimestamp: [9, "Time"],
    labels: [11, "map"],
    annotations: [12, "map"],
    finalizers: [14, "string", "repeated"],
    managedFields: [17, "ManagedFieldsEntry", "repeated"]
  },
  StatusCause: { reason: [1, "string"], message: [2, "string"], field: [3, "string"] },
  StatusDetails: {
    name: [1, "string"],
    group: [2, "string"],
    kind: [3, "string"],
    causes: [4, "StatusCause", "repeated"],
    retryAfterSeconds: [5, "int32"],
    uid: [6, "string"]
  },
  Status: {
    metadata: [1, "ListMeta"],
    status: [2, "string"],
    message: [3, "string"],
    reason: [4, "string"],
    details: [5, "StatusDetails"],
    code: [6, "int32"]
  },
  NamespaceSpec: { finalizers: [1, "string", "repeated"] },
  NamespaceStatus: { phase: [1, "string"] },
  Namespace: { metadata: [1, "ObjectMeta"], spec: [2, "NamespaceSpec"], status: [3, "NamespaceStatus"] },
  NamespaceList: { metadata: [1, "ListMeta"], items: [2, "Namespace", "repeated"] },
  LabelSelector: { matchLabels: [1, "map"] },
  ResourceRequirements: {},
  Container: {
    name: [1, "string"],
    image: [2, "string"],
    resources: [8, "ResourceRequirements"],
    imagePullPolicy: [14, "string"]
  },
  PodSpec: { containers: [2, "Container", "repeated"], restartPolicy: [3, "string"], dnsPolicy: [6, "string"] },
  PodTemplateSpec: { metadata: [1, "ObjectMeta"], spec: [2, "PodSpec"] },
  IntOrString: { type: [1, "int64"], intVal: [2, "int32"], strVal: [3, "string"] },
  RollingUpdateDeployment: { maxUnavailable: [1, "IntOrString"], maxSurge: [2, "IntOrString"] },
  DeploymentStrategy: { type: [1, "string"], rollingUpdate: [2, "RollingUpdateDeployment"] },
  DeploymentSpec: {
    replicas: [1, "int32"],
    selector: [2, "LabelSelector"],
    template: [3, "PodTemplateSpec"],
    strategy: [4, "DeploymentStrategy"],
    minReadySeconds: [5, "int32"],
    revisionHistoryLimit: [6, "int32"],
    paused: [7, "bool"],
    progressDeadlineSeconds: [9, "int32"]
  },
  DeploymentStatus: {
    observedGeneration: [1, "int64"],
    replicas: [2, "int32"],
    updatedReplicas: [3, "int32"],
    availableReplicas: [4, "int32"],
    unavailableReplicas: [5, "int32"],
    readyReplicas: [7, "int32"]
  },
  Deployment: { metadata: [1, "ObjectMeta"], spec: [2, "DeploymentSpec"], status: [3, "DeploymentStatus"] },
  DeploymentList: { metadata: [1, "ListMeta"], items: [2, "Deployment", "repeated"] }
} satisfies Readonly<Record<MessageName, Readonly<Record<string, Field>>>>

const scalars: Readonly<Record<string, Type>> = {
  string: Type.STRING,
  bytes: Type.BYTES,
  int32: Type.INT32,
  int64: Type.INT64,
  bool: Type.BOOL
}

const packageName = "kubernetes"

const entryName = (field: string): string => `${field.slice(0, 1).toUpperCase()}${field.slice(1)}Entry`

const fieldOf = (message: string, name: string, [number, type, label]: Field) => {
  const scalar = scalars[type]
  const typeName = type === "map" ? `${message}.${entryName(name)}` : type
  return {
    name,
    jsonName: name,
    number,
    label: label === "repeated" || type === "map" ? Label.REPEATED : Label.OPTIONAL,
    ...(scalar === undefined ? { type: Type.MESSAGE, typeName: `.${packageName}.${typeName}` } : { type: scalar })
  }
}

const entryOf = (name: string) => ({
  name: entryName(name),
  field: [fieldOf(name, "key", [1, "string"]), fieldOf(name, "value", [2, "string"])],
  options: { mapEntry: true }
})

// In edition 2023 a field may be absent, as in the proto2 of Kubernetes, and strings have to be UTF-8.
const registryOf = (declared: Messages) =>
  createFileRegistry(
    create(FileDescriptorProtoSchema, {
      name: "kubernetes.proto",
      package: packageName,
      syntax: "editions",
      edition: Edition.EDITION_2023,
      messageType: Object.entries(declared).map(([name, fields]) => ({
        name,
        field: Object.entries(fields).map(([field, declared]) => fieldOf(name, field, declared)),
        nestedType: Object.entries(fields).flatMap(([field, [, type]]) => (type === "map" ? [entryOf(field)] : []))
      }))
    }),
    () => undefined
  )

/** The schemas of these messages by name. */
export const schemaIn = (declared: Messages): ((name: MessageName) => DescMessage) => {
  const registry = registryOf(declared)
  return (name) => {
    const schema = registry.getMessage(`${packageName}.${name}`)
    if (schema === undefined) throw new Error(`no message ${name}`)
    return schema
  }
}

const schemaOf = schemaIn(messages)

/** The standalone messages, and those that contain others as bytes. */
export const schemas = {
  TypeMeta: schemaOf("TypeMeta"),
  Unknown: schemaOf("Unknown"),
  RawExtension: schemaOf("RawExtension"),
  WatchEvent: schemaOf("WatchEvent"),
  ListMeta: schemaOf("ListMeta"),
  ObjectMeta: schemaOf("ObjectMeta"),
  Namespace: schemaOf("Namespace"),
  NamespaceList: schemaOf("NamespaceList"),
  Deployment: schemaOf("Deployment"),
  DeploymentList: schemaOf("DeploymentList"),
  Status: schemaOf("Status")
}

/** The bytes before a standalone object. */
const magic = Buffer.from("k8s\0")

/** The message as JSON: absent fields are absent, an int64 is a string, and bytes are in base64. Throws if malformed. */
export const readMessage = (schema: DescMessage, bytes: Uint8Array): Schema.Json =>
  toJson(schema, fromBinary(schema, bytes))

const UnknownJson = Schema.Struct({
  typeMeta: Schema.Struct({ apiVersion: Schema.String, kind: Schema.String }),
  raw: Schema.optionalKey(Schema.Uint8ArrayFromBase64),
  contentEncoding: Schema.String,
  contentType: Schema.String
})

const WatchEventJson = Schema.Struct({
  type: Schema.String,
  object: Schema.Struct({ raw: Schema.Uint8ArrayFromBase64 })
})

/** Reads the `Unknown` of a standalone object. Throws without the magic bytes. */
export const readUnknown = (bytes: Uint8Array): typeof UnknownJson.Type => {
  if (!magic.equals(bytes.subarray(0, magic.length))) throw new Error("no magic bytes")
  return Schema.decodeUnknownSync(UnknownJson)(readMessage(schemas.Unknown, bytes.subarray(magic.length)))
}

/** Reads a standalone object of any kind. */
export const readObject = (bytes: Uint8Array): { readonly kind: string; readonly object: Schema.Json } => {
  const { raw, typeMeta } = readUnknown(bytes)
  const schema = Object.entries(schemas).find(([name]) => name === typeMeta.kind)?.[1]
  if (schema === undefined) throw new Error(`no message ${typeMeta.kind}`)
  return { kind: typeMeta.kind, object: readMessage(schema, raw ?? new Uint8Array()) }
}

/** Splits a watch into its frames, without their lengths. Throws if the last one is incomplete. */
export const readFrames = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const frames: Array<Uint8Array> = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + view.getUint32(at)
    if (end > bytes.length) throw new Error("an incomplete frame")
    frames.push(bytes.subarray(at + 4, end))
    at = end
  }
  return frames
}

/** Reads a watch event: its type, and the bytes of its object. */
export const readEvent = (frame: Uint8Array): { readonly type: string; readonly object: Uint8Array } => {
  const { object, type } = Schema.decodeUnknownSync(WatchEventJson)(readMessage(schemas.WatchEvent, frame))
  return { type, object: object.raw }
}
