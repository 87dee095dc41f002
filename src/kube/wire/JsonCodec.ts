/** Decodes lists, watches and errors in JSON. Of each object only the fields that are read are kept. */
import { Result, Schema } from "effect"
import { constants } from "node:buffer"
import { ResourceVersion } from "../../model/ResourceVersion.ts"
import { absent, decodeJson, decoder } from "./Json.ts"
import {
  changeOf,
  initialEventsEnd,
  type KubeCodec,
  type KubeListPage,
  objectOf,
  type PageReader,
  type Progress,
  type Status,
  type UndecodableObject,
  type WatchEvent,
  type WatchFailure,
  type WatchReader
} from "./KubeCodec.ts"
import type { Decoded, ObjectFields, ResourceKind } from "./ResourceKind.ts"
import { watchLines } from "./WatchLines.ts"

type Versioned = { readonly resourceVersion: ResourceVersion }

const StatusObject = Schema.Struct({
  code: absent(Schema.Number),
  reason: absent(Schema.String),
  message: absent(Schema.String),
  details: absent(
    Schema.Struct({
      retryAfterSeconds: absent(Schema.Number),
      causes: absent(Schema.Array(Schema.Struct({ reason: absent(Schema.String) })))
    })
  )
})

const ListPage = Schema.Struct({
  metadata: Schema.Struct({ resourceVersion: ResourceVersion, continue: absent(Schema.String) }),
  items: absent(Schema.Array(Schema.Unknown))
})

const WatchLine = Schema.Struct({
  type: Schema.Literals(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]),
  object: Schema.Unknown
})

const Bookmark = Schema.Struct({
  metadata: Schema.Struct({
    resourceVersion: ResourceVersion,
    annotations: absent(Schema.Record(Schema.String, Schema.String))
  })
})

// `ResourceKind` validates the fields, so an object with an invalid one still has a key.
const ObjectShape = Schema.Struct({
  metadata: absent(
    Schema.Struct({
      name: Schema.optional(Schema.Unknown),
      namespace: Schema.optional(Schema.Unknown),
      resourceVersion: Schema.optional(Schema.Unknown)
    })
  ),
  spec: Schema.optional(Schema.Unknown)
})

const SpecShape = absent(Schema.Struct({ replicas: Schema.optional(Schema.Unknown) }))

const noFields: ObjectFields = {
  name: undefined,
  namespace: undefined,
  resourceVersion: undefined,
  replicas: undefined
}

const decodeObject = Schema.decodeUnknownResult(ObjectShape)
const decodeSpec = Schema.decodeUnknownResult(SpecShape)

const fieldsOf = (input: unknown): ObjectFields =>
  Result.match(decodeObject(input), {
    onFailure: () => noFields,
    onSuccess: ({ metadata, spec }) => ({
      name: metadata?.name,
      namespace: metadata?.namespace,
      resourceVersion: metadata?.resourceVersion,
      // Of an invalid spec the count is null: invalid, too, but not absent.
      replicas: Result.match(decodeSpec(spec), {
        onFailure: () => null,
        onSuccess: (spec) => spec?.replicas ?? undefined
      })
    })
  })

const decodeStatus: (input: unknown) => Decoded<Status> = decoder(StatusObject, (status) => status)

const decodePageShape = decoder(ListPage, (page) => page)

/** Decodes a page of a list of `kind`. */
export const decodeListPage = <A extends Versioned>(kind: ResourceKind<A>, input: unknown): Decoded<KubeListPage<A>> =>
  Result.map(decodePageShape(input), ({ items, metadata }) => {
    const decoded: Array<A> = []
    const undecodable: Array<UndecodableObject> = []
    for (const item of items ?? []) {
      const object = objectOf(kind, fieldsOf(item))
      if (Result.isSuccess(object)) decoded.push(object.success)
      else undecodable.push(object.failure)
    }
    return {
      items: decoded,
      undecodable,
      resourceVersion: metadata.resourceVersion,
      continue: metadata.continue === null || metadata.continue === "" ? undefined : metadata.continue
    }
  })

const decodeWatchLine = decoder(WatchLine, (line) => line)

const decodeBookmark = decoder(Bookmark, ({ metadata }): WatchEvent<never> => ({
  _tag: "Bookmark",
  resourceVersion: metadata.resourceVersion,
  initialEventsEnd: metadata.annotations?.[initialEventsEnd] === "true"
}))

/** Decodes a line of a watch of `kind`. */
export const decodeWatchEvent = <A extends Versioned>(
  kind: ResourceKind<A>,
  input: unknown
): Result.Result<WatchEvent<A>, WatchFailure> =>
  Result.flatMap(decodeWatchLine(input), ({ object, type }): Result.Result<WatchEvent<A>, WatchFailure> => {
    switch (type) {
      case "BOOKMARK":
        return decodeBookmark(object)
      case "ERROR":
        return Result.flatMap(decodeStatus(object), Result.fail)
      default:
        return changeOf(kind, type, fieldsOf(object))
    }
  })

const watch = <A extends Versioned>(kind: ResourceKind<A>): WatchReader<A> => {
  const lines = watchLines()
  const events = ({ complete, failure }: Progress<string, string>): Progress<WatchEvent<A>, WatchFailure> => {
    const decoded: Array<WatchEvent<A>> = []
    for (const line of complete) {
      const event = Result.flatMap(decodeJson(line), (input) => decodeWatchEvent(kind, input))
      if (Result.isFailure(event)) return { complete: decoded, failure: event.failure }
      decoded.push(event.success)
    }
    return { complete: decoded, failure }
  }
  return { push: (chunk) => events(lines.push(chunk)), end: () => events(lines.end()) }
}

/** Reads a page of `kind` of less than `limit` characters. Default: the maximum length of a string. */
export const readPage = <A extends Versioned>(
  kind: ResourceKind<A>,
  limit: number = constants.MAX_STRING_LENGTH
): PageReader<A> => {
  const decoder = new TextDecoder()
  let text = ""
  return {
    push: (chunk) => {
      const part = decoder.decode(chunk, { stream: true })
      if (text.length + part.length >= limit) return `a list of ${limit} characters or more`
      text += part
      return undefined
    },
    end: () => Result.flatMap(decodeJson(text + decoder.decode()), (input) => decodeListPage(kind, input))
  }
}

const utf8 = new TextDecoder()

/** The JSON encoding. */
export const json: KubeCodec = {
  page: (kind) => readPage(kind),
  watch,
  status: (body) => Result.flatMap(decodeJson(utf8.decode(body)), decodeStatus)
}
