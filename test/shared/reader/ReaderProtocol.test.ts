import { assert, describe, it } from "@effect/vitest"
import { Duration, Redacted, Result, Schema } from "effect"
import type { Input, ReadEntry } from "../../../src/shared/reader/ReaderState.ts"
import type { SharedCacheOptions } from "../../../src/shared/SharedCacheOptions.ts"
import type { LogEntry, LogId, ToldEvent } from "../../../src/shared/SharedLog.ts"
import { noObjects } from "../../../src/shared/SharedObject.ts"
import { watchScopesOf } from "../../../src/shared/WatchScope.ts"
import * as Given from "../../cache/Given.ts"
import { identityOf, other, own } from "../Clusters.ts"
import { DrivenReader } from "./DrivenReader.ts"
import { leaseMillis, ScriptedRedis } from "./ScriptedRedis.ts"
import { shown, truth } from "../Shown.ts"

const optionsOf = (namespaces: ReadonlyArray<string> | undefined): SharedCacheOptions => ({
  server: { _tag: "Url", url: Redacted.make("redis://unused") },
  keyPrefix: "test",
  lease: Duration.millis(leaseMillis),
  backoffFirst: Duration.millis(5),
  backoffLongest: Duration.millis(100),
  ...(namespaces === undefined ? {} : { namespaces: namespaces.map(Given.ns) })
})

const setUp = (perNamespace: boolean, knowsHistory = true) => {
  const options = optionsOf(perNamespace ? ["a", "b", "keep"] : undefined)
  return {
    reader: new DrivenReader(options, own, knowsHistory),
    redis: new ScriptedRedis(watchScopesOf(options.namespaces))
  }
}

const pass = (millis: number, reader: DrivenReader, redis: ScriptedRedis) => {
  reader.millis += millis
  redis.now += millis
  redis.elapsed += millis
  reader.checkAge(redis)
}

/** Without further faults the reader must catch up with a new leader in a bounded number of replies. */
const settle = (reader: DrivenReader, redis: ScriptedRedis) => {
  redis.lead()
  for (const name of redis.scopes) redis.list(name)
  for (const name of redis.scopes) redis.sign("Heard", name)
  redis.put("keep/always")
  const expected = truth(redis)
  const isSettled = () => reader.isLive && JSON.stringify(shown(reader.view)) === JSON.stringify(expected)
  for (let replies = 0; replies < 300 && !isSettled(); replies++) {
    const { request } = reader.state
    if (request._tag === "ReadLog" && request.blockMillis !== undefined) {
      pass(500, reader, redis)
      redis.beat()
    }
    reader.reply(redis)
  }
  assert.deepStrictEqual(shown(reader.view), expected)
  assert.isTrue(reader.isLive)
}

const paths = ["a/x", "a/y", "b/x", "keep/z"] as const
const Path = Schema.Literals(paths)
const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
const Replies = Schema.TaggedStruct("replies", {
  count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 8 }))
})
const Busy = Schema.TaggedStruct("busy", {
  path: Path,
  count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 8 }))
})
const Put = Schema.TaggedStruct("put", { path: Path })

/** A change of the cluster, or a fault of the leader, Redis, a clock or the connection. */
const Happening = Schema.Union([
  // The more often a member is listed, the more often it is drawn.
  Replies,
  Replies,
  Replies,
  Replies,
  Replies,
  Busy,
  Busy,
  Put,
  Put,
  Put,
  Schema.TaggedStruct("delete", { path: Path }),
  Schema.TaggedStruct("deleteNamespace", { name: Schema.Literals(["a", "b"]) }),
  Schema.TaggedStruct("list", { scope: Index }),
  Schema.TaggedStruct("sign", { tag: Schema.Literals(["Heard", "Lost"]), scope: Index }),
  Schema.TaggedStruct("beat", {}),
  Schema.TaggedStruct("lead", {
    watches: Schema.Literals(["same", "same", "same", "other namespaces", "other cluster"])
  }),
  Schema.TaggedStruct("lead", { watches: Schema.Literals(["same"]) }),
  Schema.TaggedStruct("end", {}),
  Schema.TaggedStruct("garbage", { newEpoch: Schema.Boolean }),
  Schema.TaggedStruct("corrupt", { scope: Index }),
  Schema.TaggedStruct("lose", { what: Schema.Literals(["log", "keys", "snapshots", "all"]) }),
  Schema.TaggedStruct("trim", { kept: Index }),
  Schema.TaggedStruct("save", {}),
  Schema.TaggedStruct("restore", {}),
  Schema.TaggedStruct("disconnect", {}),
  Schema.TaggedStruct("time", { millis: Schema.Literals([10, 400, 3000]) }),
  Schema.TaggedStruct("redisClock", { millis: Schema.Literals([-5000, 5000]) })
])
type Happening = typeof Happening.Type

const happen = (happening: Happening, reader: DrivenReader, redis: ScriptedRedis): void => {
  const scopeAt = (at: number) => redis.scopes[at % redis.scopes.length] ?? ""
  switch (happening._tag) {
    case "replies":
      for (let reply = 0; reply < happening.count; reply++) reader.reply(redis)
      return undefined
    case "busy":
      for (let reply = 0; reply < happening.count; reply++) {
        reader.reply(redis)
        redis.put(happening.path)
      }
      return undefined
    case "put":
      return redis.put(happening.path)
    case "delete":
      return redis.delete(happening.path)
    case "deleteNamespace":
      return redis.deleteNamespace(happening.name)
    case "list":
      return redis.list(scopeAt(happening.scope))
    case "sign":
      return redis.sign(happening.tag, scopeAt(happening.scope))
    case "beat":
      return redis.beat()
    case "lead":
      redis.lead(
        happening.watches === "other namespaces" ? ["namespaces", "deployments/other"] : undefined,
        happening.watches === "other cluster" ? other : own
      )
      // A leader lists before it watches.
      return happening.watches === "other namespaces" ? undefined : redis.list("namespaces")
    case "end":
      return redis.end()
    case "garbage":
      return redis.garbage(happening.newEpoch)
    case "corrupt":
      return redis.corrupt(scopeAt(happening.scope))
    case "lose":
      return redis.lose(happening.what)
    case "trim":
      return redis.trim(happening.kept)
    case "save":
      return redis.save()
    case "restore":
      redis.restore()
      // A promoted replica does not inherit the connections.
      return reader.disconnect()
    case "disconnect":
      return reader.disconnect()
    case "time":
      return pass(happening.millis, reader, redis)
    case "redisClock":
      redis.now += happening.millis
      return undefined
  }
}

describe("the reader's protocol over a faulty Redis", () => {
  for (const perNamespace of [false, true]) {
    it.prop(
      `never goes back, reports liveness truly and converges${perNamespace ? ", per namespace" : ""}`,
      [Schema.Boolean, Schema.Array(Happening)],
      ([isSettled, happenings]) => {
        const { reader, redis } = setUp(perNamespace)
        if (isSettled) settle(reader, redis)
        for (const happening of happenings) {
          happen(happening, reader, redis)
          for (const epoch of reader.shownEpochs) assert.deepStrictEqual(redis.clusterOf(epoch), own)
        }
        assert.deepStrictEqual(reader.violations, [], JSON.stringify(reader.violations))
        settle(reader, redis)
        assert.deepStrictEqual(reader.violations, [], JSON.stringify(reader.violations))
        assert.deepStrictEqual(reader.regressions, [], JSON.stringify(reader.regressions))
      },
      { arbitrary: { runs: 1500, size: 120 } }
    )
  }
})

describe("the age of the state that a reader shows", () => {
  /** Follows a leader, with a quarter of a second between its entries. */
  const follow = (reader: DrivenReader, redis: ScriptedRedis, replies: number) => {
    for (let reply = 0; reply < replies; reply++) {
      pass(250, reader, redis)
      redis.beat()
      reader.reply(redis)
    }
  }

  it("grows at once after an undecodable entry, while the snapshots are loaded", () => {
    const { reader, redis } = setUp(false)
    settle(reader, redis)
    follow(reader, redis, 3)
    redis.garbage(false)
    while (reader.isLive) reader.reply(redis)
    // The reader has read the entry, and nothing since.
    assert.notStrictEqual(reader.state.request._tag, "ReadLog")
    redis.lead()
    redis.put("keep/always")
    for (let replies = 0; replies < 4; replies++) {
      pass(1500, reader, redis)
      reader.reply(redis)
    }
    assert.isAtLeast(reader.age, 6)
    assert.deepStrictEqual(reader.violations, [])
  })

  it("is that of what was scanned if the log turns over within each load", () => {
    const { reader, redis } = setUp(false)
    settle(reader, redis)
    for (const path of paths) redis.put(path)
    const before = shown(reader.view)
    for (let replies = 0; replies < 60; replies++) {
      redis.put("keep/always")
      redis.put("keep/z")
      redis.trim(1)
      redis.beat()
      pass(200, reader, redis)
      reader.reply(redis)
    }
    assert.notDeepEqual(shown(reader.view), before)
    assert.isAbove(reader.age, 0)
    assert.deepStrictEqual(reader.violations, [])
    settle(reader, redis)
    assert.deepStrictEqual(reader.violations, [])
  })

  it("counts a dead leader's silence although the next Redis server's clock is behind", () => {
    const { reader, redis } = setUp(false)
    settle(reader, redis)
    follow(reader, redis, 3)
    redis.die()
    redis.put("keep/always")
    redis.now -= 60_000
    reader.disconnect()
    for (let replies = 0; replies < 20; replies++) {
      pass(500, reader, redis)
      reader.reply(redis)
    }
    assert.isAtLeast(reader.age, 10)
    assert.deepStrictEqual(reader.violations, [])
  })
})

const Small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
const Version = Schema.Int.check(Schema.isBetween({ minimum: 8, maximum: 30 }))
const Millis = Schema.Literals([0, 1, 50, 999, 1001, 20_000, -20_000])
const Passed = Schema.Literals([0, 1, 50, 999, 1001, 20_000])
const Place = Schema.Literals(["next", "next", "next", "next", "leader", "skip", "back"])
const ScopeName = Schema.Literals(["namespaces", "deployments", "deployments/a", "pods"])

const AnyEvent = Schema.Struct({
  kind: Schema.Literals(["heard", "lost", "applied", "deleted", "namespace"]),
  path: Path,
  version: Version
})

const eventOf = ({ kind, path, version }: typeof AnyEvent.Type): ToldEvent => {
  const { namespace } = Given.ref(path)
  const resourceVersion = Given.rv(version)
  switch (kind) {
    case "heard":
      return { _tag: "Heard", resource: "deployments" }
    case "lost":
      return { _tag: "Lost", resource: "deployments" }
    case "applied":
      return { _tag: "DeploymentApplied", object: Given.deployment(path, version, version) }
    case "deleted":
      return { _tag: "DeploymentDeleted", ref: Given.ref(path), resourceVersion }
    case "namespace":
      return { _tag: "NamespaceApplied", object: { name: namespace, resourceVersion } }
  }
}

/** Any entry, decodable or not. */
const AnyEntry = Schema.Struct({
  place: Place,
  lag: Millis,
  entry: Schema.Union([
    Schema.TaggedStruct("Undecodable", {}),
    Schema.TaggedStruct("Began", { cluster: Schema.Literals(["own", "other"]), scopes: Schema.Array(ScopeName) }),
    Schema.TaggedStruct("Told", { events: Schema.Array(AnyEvent) }),
    Schema.TaggedStruct("Told", { events: Schema.Array(AnyEvent) }),
    Schema.TaggedStruct("Listed", { scope: ScopeName }),
    Schema.TaggedStruct("Beat", {
      everyMillis: Schema.Literals([0, 300, 5000]),
      live: Schema.Array(Schema.Struct({ scope: ScopeName, agoMillis: Schema.Literals([0, 5000]) }))
    }),
    Schema.TaggedStruct("Ended", {})
  ])
})

/** Holds a reply to any request. */
const AnyReply = Schema.Struct({
  fault: Schema.Literals([...Array.from({ length: 12 }, () => "none" as const), "disconnect", "other"]),
  passed: Passed,
  clock: Millis,
  place: Place,
  leaseLeft: Schema.Literals([-2, 1, 1000]),
  watched: Schema.Literals(["same", "same", "other", "unknown"]),
  cluster: Schema.Literals(["own", "own", "other", "unknown"]),
  present: Schema.Literals(["all", "all", "all", "first", "none"]),
  number: Small,
  earlier: Small,
  version: Version,
  live: Schema.Boolean,
  readable: Schema.Literals([true, true, true, false]),
  entries: Schema.Array(AnyEntry)
})
type AnyReply = typeof AnyReply.Type

const placed = (place: typeof Place.Type, { epoch, seq }: LogId): LogId => {
  switch (place) {
    case "next":
      return { epoch, seq: seq + 1 }
    case "leader":
      return { epoch: epoch + 1, seq: 0 }
    case "skip":
      return { epoch, seq: seq + 3 }
    case "back":
      return { epoch: Math.max(0, epoch - 1), seq: 1 }
  }
}

const entriesOf = ({ entries }: AnyReply, from: LogId, now: number): ReadonlyArray<ReadEntry> => {
  let id = from
  return entries.map(({ entry, lag, place }) => {
    id = placed(place, id)
    if (entry._tag === "Undecodable") return { id, content: undefined }
    return { id, content: { at: now - lag, entry: readOf(entry) } }
  })
}

const readOf = (entry: Exclude<(typeof AnyEntry.Type)["entry"], { readonly _tag: "Undecodable" }>): LogEntry => {
  if (entry._tag === "Told") return { ...entry, events: entry.events.map(eventOf) }
  return entry._tag === "Began" ? { ...entry, cluster: identityOf(entry.cluster) } : entry
}

/** A reply to the reader's request, with arbitrary content. */
const inputOf = (reply: AnyReply, { millis, state }: DrivenReader): Input => {
  const { present, version } = reply
  const names = state.scopes.map(({ scope }) => scope.name)
  const kept = present === "all" ? names : present === "first" ? names.slice(0, 1) : []
  const position = state.position ?? { epoch: 5, seq: 0 }
  const head = {
    generation: { epoch: Math.max(0, position.epoch - reply.earlier), number: reply.number },
    version: Given.rv(version),
    heardAt: millis,
    live: reply.live
  }
  switch (state.request._tag) {
    case "Connect":
      return { _tag: "Connected" }
    case "Look":
      return {
        _tag: "Looked",
        look: {
          now: millis + reply.clock,
          last: placed(reply.place, position),
          lastAt: millis - reply.clock,
          leaseLeft: reply.leaseLeft,
          cluster: reply.cluster === "unknown" ? undefined : identityOf(reply.cluster),
          watched: reply.watched === "same" ? names : reply.watched === "other" ? ["pods"] : undefined,
          keys: new Map(kept.map((name) => [name, "key"]))
        }
      }
    case "ReadHeads":
      return { _tag: "HeadsRead", heads: new Map(kept.map((name) => [name, head])) }
    case "ReadHead":
      return { _tag: "HeadRead", head: present === "none" ? undefined : head }
    case "ReadPage": {
      const page = { objects: noObjects(state.request.scope), cursor: reply.number === 0 ? "1" : undefined }
      return { _tag: "PageRead", page: reply.readable ? Result.succeed(page) : Result.fail("bad") }
    }
    case "ReadLog":
      return {
        _tag: "LogRead",
        entries: entriesOf(reply, state.request.from, millis + reply.clock),
        isFull: reply.earlier > 1
      }
  }
}

describe("an identity that is known late", () => {
  const unanswered = () => ({
    reader: new DrivenReader(optionsOf(undefined), { endpoint: own.endpoint }),
    redis: new ScriptedRedis(watchScopesOf(undefined))
  })
  const rebuilt = { ...other, endpoint: own.endpoint }

  it("changes nothing if it confirms the endpoint", () => {
    const { reader, redis } = unanswered()
    settle(reader, redis)
    const { length } = reader.messages
    reader.input({ _tag: "Identified", cluster: own })
    settle(reader, redis)
    assert.lengthOf(reader.messages, length)
    assert.deepStrictEqual(reader.violations, [])
  })

  it("keeps a loaded snapshot of another cluster from being shown", () => {
    const { reader, redis } = unanswered()
    redis.lead()
    for (const name of redis.scopes) redis.list(name)
    const isLoaded = () => reader.state.scopes.every(({ loading }) => loading?.isScanned === true)
    for (let replies = 0; replies < 50 && !isLoaded(); replies++) reader.reply(redis)
    assert.isTrue(isLoaded())
    reader.input({ _tag: "Identified", cluster: rebuilt })
    for (let replies = 0; replies < 50; replies++) reader.reply(redis)
    assert.deepStrictEqual(reader.shownEpochs, [])
    assert.lengthOf(reader.messages, 1)
    assert.match(reader.messages[0] ?? "", /^Log .*another cluster/)
    assert.deepStrictEqual(reader.violations, [])
  })

  it("ends an instance that shows another cluster", () => {
    const { reader, redis } = unanswered()
    settle(reader, redis)
    reader.input({ _tag: "Identified", cluster: rebuilt })
    assert.match(reader.messages.at(-1) ?? "", /^Die .*a cluster other than its own/)
    assert.isFalse(reader.isLive)
  })
})

describe("the reader's protocol with arbitrary replies", () => {
  it.prop(
    "keeps its invariants and never gets stuck",
    [Schema.Boolean, Schema.Array(AnyReply)],
    ([isSettled, replies]) => {
      const { reader, redis } = setUp(false, false)
      if (isSettled) settle(reader, redis)
      for (const reply of replies) {
        reader.millis += reply.passed
        if (reply.fault === "disconnect") reader.disconnect()
        // Not a reply to the request. It must not corrupt the state.
        else if (reply.fault === "other") {
          const { _tag } = reader.state.request
          reader.input(_tag === "Connect" ? { _tag: "LogRead", entries: [], isFull: false } : { _tag: "Connected" })
        } else reader.input(inputOf(reply, reader))
      }
      assert.deepStrictEqual(reader.violations, [], JSON.stringify(reader.violations))
      reader.disconnect()
      settle(reader, new ScriptedRedis(watchScopesOf(undefined), { now: 2_000_000, version: 1000 }))
      assert.deepStrictEqual(reader.violations, [], JSON.stringify(reader.violations))
    },
    { arbitrary: { runs: 500, size: 40 } }
  )
})
