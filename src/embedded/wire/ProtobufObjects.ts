/**
 * Writes the objects of the embedded cluster in Kubernetes protobuf, with the content of their JSON. The field numbers are
 * those of `generated.proto` in k8s.io/api and k8s.io/apimachinery. As in Go, fields are in ascending order, and a string or
 * number that is not a pointer in Go is written even if it is empty or 0.
 */
import { WireType } from "@bufbuild/protobuf/wire"
import { initialEventsEnd } from "../../kube/wire/KubeCodec.ts"
import type { StoredDeployment, StoredNamespace, StoredObject } from "../ClusterStore.ts"
import { byPadding, fieldsV1, imageOf, managedAt, uidOf } from "../KubeObjects.ts"
import type { KubeStatus, StatusDetails } from "../KubeStatus.ts"
import { MessageWriter } from "./MessageWriter.ts"
import type { ListFrame } from "./ObjectEncoding.ts"

/** A `Time`: seconds and nanoseconds. */
const writeTime = (writer: MessageWriter, millis: number): void => {
  writer.integer(1, Math.floor(millis / 1000)).integer(2, 0)
}

/** The fields of an `ObjectMeta`. An absent one is written as empty where Go does so. */
interface ObjectMeta {
  readonly name?: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly createdAt?: number
  readonly deletedAt?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly padding?: number
}

/** The field `managedFields` of an object, with its tag, memoized by size. */
const managedFields = byPadding((bytes) =>
  bytes <= 0
    ? new Uint8Array()
    : new MessageWriter()
        .message(17, (entry) =>
          entry
            .text(1, "kubectl-client-side-apply")
            .text(2, "Update")
            .text(3, "apps/v1")
            .message(4, (time) => writeTime(time, managedAt))
            .text(6, "FieldsV1")
            .message(7, (fields) => fields.text(1, fieldsV1(bytes)))
            .text(8, "")
        )
        .finish()
)

const writeObjectMeta = (writer: MessageWriter, meta: ObjectMeta): void => {
  const { createdAt, deletedAt } = meta
  writer
    .text(1, meta.name ?? "")
    .text(2, "")
    .text(3, meta.namespace ?? "")
    .text(4, "")
    .text(5, meta.uid ?? "")
    .text(6, meta.resourceVersion ?? "")
    .integer(7, meta.generation ?? 0)
    .message(8, (time) => createdAt !== undefined && writeTime(time, createdAt))
  if (deletedAt !== undefined) writer.message(9, (time) => writeTime(time, deletedAt))
  writer
    .map(11, meta.labels ?? {})
    .map(12, meta.annotations ?? {})
    .raw(managedFields(meta.padding ?? 0))
}

const writeNamespace = (writer: MessageWriter, namespace: StoredNamespace): void => {
  writer
    .message(1, (metadata) =>
      writeObjectMeta(metadata, {
        name: namespace.name,
        uid: uidOf(namespace.uid),
        resourceVersion: String(namespace.resourceVersion),
        createdAt: namespace.createdAt,
        ...(namespace.terminating ? { deletedAt: namespace.createdAt } : undefined),
        labels: { "kubernetes.io/metadata.name": namespace.name }
      })
    )
    .message(2, (spec) => spec.text(1, "kubernetes"))
    .message(3, (status) => status.text(1, namespace.terminating ? "Terminating" : "Active"))
}

/** A `PodTemplateSpec` with only the fields of its JSON. */
const writeTemplate = (template: MessageWriter, deployment: StoredDeployment, labels: Record<string, string>): void => {
  template
    .message(1, (metadata) => writeObjectMeta(metadata, { labels }))
    .message(2, (spec) =>
      spec
        .message(2, (container) =>
          container
            .text(1, deployment.name)
            .text(2, imageOf(deployment))
            .message(8, () => {})
            .text(14, "IfNotPresent")
        )
        .text(3, "Always")
        .text(6, "ClusterFirst")
    )
}

/** An `IntOrString` that is a string. */
const writeShare = (value: MessageWriter, share: string): void => {
  value.integer(1, 1).integer(2, 0).text(3, share)
}

const writeDeployment = (writer: MessageWriter, deployment: StoredDeployment): void => {
  const labels = { "app.kubernetes.io/name": deployment.name }
  const observed = deployment.replicas ?? 1
  writer
    .message(1, (metadata) =>
      writeObjectMeta(metadata, {
        name: deployment.name,
        namespace: deployment.namespace,
        uid: uidOf(deployment.uid),
        resourceVersion: String(deployment.resourceVersion),
        generation: deployment.generation,
        createdAt: deployment.createdAt,
        labels,
        annotations: { "deployment.kubernetes.io/revision": "1" },
        padding: deployment.padding
      })
    )
    .message(2, (spec) => {
      if (deployment.replicas !== undefined) spec.integer(1, deployment.replicas)
      spec
        .message(2, (selector) => selector.map(1, labels))
        .message(3, (template) => writeTemplate(template, deployment, labels))
        .message(4, (strategy) =>
          strategy
            .text(1, "RollingUpdate")
            .message(2, (rolling) =>
              rolling.message(1, (most) => writeShare(most, "25%")).message(2, (most) => writeShare(most, "25%"))
            )
        )
        .integer(5, 0)
        .integer(6, 10)
        .integer(7, 0)
        .integer(9, 600)
    })
    .message(3, (status) =>
      status
        .integer(1, deployment.generation)
        .integer(2, observed)
        .integer(3, 0)
        .integer(4, 0)
        .integer(5, 0)
        .integer(7, observed)
    )
}

/** Writes the fields of an object. */
export const writeObject = (writer: MessageWriter, object: StoredObject): void => {
  if (object.resource === "namespaces") writeNamespace(writer, object)
  else writeDeployment(writer, object)
}

/** Writes the fields of the object of a bookmark. */
export const writeBookmark = (writer: MessageWriter, resourceVersion: number, endsInitialEvents: boolean): void => {
  writer.message(1, (metadata) =>
    writeObjectMeta(metadata, {
      resourceVersion: String(resourceVersion),
      ...(endsInitialEvents ? { annotations: { [initialEventsEnd]: "true" } } : undefined)
    })
  )
}

/** Writes the fields of a `ListMeta`. */
export const writeListMeta = (
  writer: MessageWriter,
  meta: Partial<Pick<ListFrame, "continueToken" | "remainingItemCount">> & { readonly resourceVersion?: string }
): void => {
  writer
    .text(1, "")
    .text(2, meta.resourceVersion ?? "")
    .text(3, meta.continueToken ?? "")
  if (meta.remainingItemCount !== undefined) writer.integer(4, meta.remainingItemCount)
}

const writeDetails = (writer: MessageWriter, details: StatusDetails): void => {
  writer
    .text(1, details.name ?? "")
    .text(2, details.group ?? "")
    .text(3, details.kind ?? "")
  for (const { field = "", message, reason } of details.causes ?? []) {
    writer.message(4, (cause) => cause.text(1, reason).text(2, message).text(3, field))
  }
  writer.integer(5, details.retryAfterSeconds ?? 0).text(6, "")
}

/** Writes the fields of a `Status`. */
export const writeStatus = (writer: MessageWriter, status: KubeStatus): void => {
  const { continueToken, details } = status
  writer
    .message(1, (metadata) => writeListMeta(metadata, { continueToken }))
    .text(2, "Failure")
    .text(3, status.message)
    .text(4, status.reason)
  if (details !== undefined) writer.message(5, (message) => writeDetails(message, details))
  writer.integer(6, status.code)
}

/** The `typeMeta` of an `Unknown`. */
export interface TypeMeta {
  readonly apiVersion: string
  readonly kind: string
}

/** Writes the type of an `Unknown`. Its message (field 2) and `endUnknown` must follow. */
export const beginUnknown = (writer: MessageWriter, { apiVersion, kind }: TypeMeta): MessageWriter =>
  writer.message(1, (type) => type.text(1, apiVersion).text(2, kind))

/** Writes the content encoding and the content type of an `Unknown`. Empty means uncompressed protobuf. */
export const endUnknown = (writer: MessageWriter): MessageWriter => writer.text(3, "").text(4, "")

/** The tag of a field that is a message. */
export const messageTag = (writer: MessageWriter, field: number): MessageWriter =>
  writer.tag(field, WireType.LengthDelimited)
