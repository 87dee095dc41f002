/** The Redis queries that answer a reader's requests. */
import { Duration, Effect, Result, Schema, SchemaTransformation } from "effect"
import type { Redis, RedisError } from "effect/persistence/Redis"
import { Identity } from "../../model/ClusterIdentity.ts"
import { ResourceVersion } from "../../model/ResourceVersion.ts"
import { clusterFields, type Keys, metaFields, watchedField } from "../redis/Keys.ts"
import type { Head, Input, Look, Page, ReadEntry, Request } from "./ReaderState.ts"
import * as Scripts from "../redis/Scripts.ts"
import * as SharedLog from "../SharedLog.ts"
import { metaPrefix, noObjects, takeField } from "../SharedObject.ts"
import * as SharedRedis from "../redis/SharedRedis.ts"

/** The source of the reader's queries. */
export interface Source {
  readonly redis: Redis["Service"]
  readonly keys: Keys
  readonly commandTimeout: Duration.Duration
}

/** Entries and fields per command. */
const entriesAtOnce = 256
const fieldsAtOnce = 1000

/** The limit of an entry, in characters. A leader writes a tenth of it; to decode more would hold up requests. */
const longestEntry = 1_000_000

const Count = Schema.String.check(Schema.isPattern(/^[0-9]{1,15}$/)).pipe(
  Schema.decodeTo(Schema.Finite, SchemaTransformation.transform({ decode: Number, encode: String }))
)
const Strings = Schema.Array(Schema.String)
const decodeLook = Schema.decodeUnknownResult(Schema.Tuple([Count, Schema.String, Count, Schema.Finite, Strings]))
const decodeScan = Schema.decodeUnknownResult(Schema.Tuple([Schema.String, Strings]))
const decodeHead = Schema.decodeUnknownResult(
  Schema.Tuple([Count, Count, ResourceVersion, Count, Schema.Literals(["0", "1"])])
)
const decodeCluster = Schema.decodeUnknownResult(Identity)
const decodeWatched = Schema.decodeUnknownResult(Schema.fromJsonString(Strings))
const Entries = Schema.Array(Schema.Tuple([Schema.String, Strings]))
const decodeStreams = Schema.decodeUnknownResult(Schema.NullOr(Schema.Array(Schema.Tuple([Schema.String, Entries]))))
const decodeAt = Schema.decodeUnknownResult(Count)

const fieldsOf = (pairs: ReadonlyArray<string>): ReadonlyMap<string, string> => {
  const fields = new Map<string, string>()
  for (let at = 0; at + 1 < pairs.length; at += 2) fields.set(pairs[at] ?? "", pairs[at + 1] ?? "")
  return fields
}

/** Answers a request. */
export const ask = (
  source: Source,
  request: Exclude<Request, { readonly _tag: "Connect" }>
): Effect.Effect<Input, RedisError> => {
  switch (request._tag) {
    case "Look":
      return Effect.map(look(source), (look) => ({ _tag: "Looked", look }))
    case "ReadHeads":
      return Effect.map(readHeads(source, request.keys), (heads) => ({ _tag: "HeadsRead", heads }))
    case "ReadHead":
      return Effect.map(readHead(source, request.key), (head) => ({ _tag: "HeadRead", head }))
    case "ReadPage":
      return Effect.map(readPage(source, request), (page) => ({ _tag: "PageRead", page }))
    case "ReadLog":
      return Effect.map(readLog(source, request), (entries) => ({
        _tag: "LogRead",
        entries,
        isFull: entries.length >= entriesAtOnce
      }))
  }
}

const send = ({ commandTimeout, redis }: Source, command: string, ...words: ReadonlyArray<string>) =>
  SharedRedis.within(commandTimeout)(redis.send(command, ...words))

/** Parses an id. An id that no leader writes fails as unreadable. */
const idOf = (text: string) => Effect.fromOption(SharedLog.parseId(text), () => SharedRedis.unreadable)

const look = Effect.fnUntraced(function* ({ keys, redis }: Source) {
  const reply = decodeLook(yield* redis.eval(Scripts.look)(keys))
  const [now, last, lastAt, leaseLeft, pairs] = yield* SharedRedis.readable(reply)
  const fields = fieldsOf(pairs)
  const watched = Result.getOrUndefined(decodeWatched(fields.get(watchedField)))
  const cluster = clusterOf(fields)
  // Lists may be of any cluster if none is named.
  const keysOfScopes = cluster === undefined ? new Map<string, string>() : fields
  return { now, last: yield* idOf(last), lastAt, leaseLeft, cluster, watched, keys: keysOfScopes } satisfies Look
})

const clusterOf = (fields: ReadonlyMap<string, string>): Identity | undefined => {
  const uid = fields.get(clusterFields.uid)
  const endpoint = fields.get(clusterFields.endpoint)
  return Result.getOrUndefined(decodeCluster(uid === undefined ? { endpoint } : { uid, endpoint }))
}

const readHeads = Effect.fnUntraced(function* (source: Source, keys: ReadonlyMap<string, string>) {
  const heads = new Map<string, Head>()
  for (const [scope, key] of keys) {
    const head = yield* readHead(source, key)
    if (head !== undefined) heads.set(scope, head)
  }
  return heads
})

/** The meta fields of a snapshot; undefined if the hash is gone or incomplete, or the key malformed. */
const readHead = Effect.fnUntraced(function* (source: Source, key: string) {
  if (!source.keys.isGeneration(key)) return undefined
  const { epoch, heardAt, live, number, version } = metaFields
  const head = decodeHead(yield* send(source, "HMGET", key, epoch, number, version, heardAt, live))
  if (Result.isFailure(head)) return undefined
  const [ofEpoch, ofNumber, ofVersion, ofHeardAt, ofLive] = head.success
  return {
    generation: { epoch: ofEpoch, number: ofNumber },
    version: ofVersion,
    heardAt: ofHeardAt,
    live: ofLive === "1"
  } satisfies Head
})

const readPage = Effect.fnUntraced(function* (
  source: Source,
  { cursor, key, objects: before, scope }: Extract<Request, { readonly _tag: "ReadPage" }>
): Effect.fn.Return<Result.Result<Page, string>, RedisError> {
  const objects = before ?? noObjects(scope)
  const reply = decodeScan(yield* send(source, "HSCAN", key, cursor, "COUNT", String(fieldsAtOnce)))
  const [next, pairs] = yield* SharedRedis.readable(reply)
  for (const [field, text] of fieldsOf(pairs)) {
    if (field.startsWith(metaPrefix)) continue
    const taken = takeField(objects, field, text)
    if (Result.isFailure(taken)) return Result.fail(`field ${field}: ${taken.failure}`)
  }
  return Result.succeed({ objects, cursor: next === "0" ? undefined : next })
})

const readLog = Effect.fnUntraced(function* (
  { commandTimeout, keys, redis }: Source,
  { blockMillis, from }: Extract<Request, { readonly _tag: "ReadLog" }>
) {
  const block = blockMillis === undefined ? [] : ["BLOCK", String(blockMillis)]
  const limit = Duration.sum(commandTimeout, Duration.millis(blockMillis ?? 0))
  const position = SharedLog.formatId(from)
  const reply = yield* SharedRedis.within(limit)(
    redis.send("XREAD", "COUNT", String(entriesAtOnce), ...block, "STREAMS", keys.events, position)
  )
  const streams = yield* SharedRedis.readable(decodeStreams(reply))
  return yield* Effect.forEach(streams?.[0]?.[1] ?? [], ([id, pairs]) =>
    Effect.map(idOf(id), (id): ReadEntry => ({ id, content: contentOf(fieldsOf(pairs)) }))
  )
})

const contentOf = (fields: ReadonlyMap<string, string>): ReadEntry["content"] => {
  const at = decodeAt(fields.get("at"))
  const text = fields.get("entry") ?? ""
  const entry = SharedLog.decode(text.length > longestEntry ? undefined : text)
  return Result.isSuccess(at) && Result.isSuccess(entry) ? { at: at.success, entry: entry.success } : undefined
}
