/** The informer's state machine, driven through orders of inputs that a socket would not give. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Schema } from "effect"
import type { WatchEnd } from "../../src/kube/InformerObserver.ts"
import * as Protocol from "../../src/kube/InformerProtocol.ts"
import * as State from "../../src/kube/InformerState.ts"
import type { KubeError } from "../../src/kube/KubeErrors.ts"
import type { NamespaceObject } from "../../src/model/ReadModel.ts"
import { isOlder, type ResourceVersion } from "../../src/model/ResourceVersion.ts"
import { ns, rv } from "../cache/Given.ts"
import { garbage, status, unreachable } from "./ScriptedKube.ts"

type Input = State.Input<NamespaceObject>
type Action = State.Action<NamespaceObject>
type Tag = Action["_tag"]

const settings: State.Settings = {
  resource: "namespaces",
  streamingList: true,
  pageSize: 2,
  silenceMillis: 180_000,
  listSilenceMillis: 30_000,
  listTimeoutMillis: 60_000,
  relistMillis: 300_000,
  backoffLongestMillis: 30_000
}

const errors: ReadonlyArray<KubeError> = [
  unreachable,
  garbage,
  ...[400, 403, 404, 410, 429, 500, 501, 503].map((code) => status(code)),
  ...[410, 500].map((code) => status(code, { inStream: true })),
  status(504, { causes: ["ResourceVersionTooLarge"] }),
  status(503, { retryAfter: Duration.seconds(7) })
]

const endOf = (error: KubeError): WatchEnd =>
  error._tag === "KubeUnreachable" ? "unreachable" : error._tag === "KubeDecodeError" ? "undecodable" : "failed"

const operationIn = (actions: ReadonlyArray<Action>) =>
  actions.filter(
    (action): action is State.Operation =>
      action._tag === "ListPage" ||
      action._tag === "OpenWatch" ||
      action._tag === "Wait" ||
      action._tag === "ReadVersion"
  )

/** One transition, and the operation that was under way before it. */
interface Entry {
  readonly operation: State.Operation | undefined
  readonly before: State.State
  readonly input: Input
  readonly after: State.State
  readonly actions: ReadonlyArray<Action>
}

/** A choice among the inputs that are possible at a moment; `version` picks a resource version from a small range. */
const Choice = Schema.Struct({
  pick: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 11 })),
  error: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: errors.length - 1 })),
  version: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 12 })),
  at: Schema.Literals([0, 0, 500, 5000, 200_000])
})
type Choice = typeof Choice.Type

const watched = (event: Extract<Input, { readonly _tag: "Watched" }>["event"], at: number): Input => ({
  _tag: "Watched",
  event,
  at
})

const object = (version: number): NamespaceObject => ({ name: ns(`n${version % 4}`), resourceVersion: rv(version) })

/** An object that cannot be decoded, sometimes without a key. */
const undecodable = (version: number) => ({
  _tag: "Undecodable" as const,
  key: version % 4 === 0 ? undefined : `n${version % 4}`,
  message: "an invalid or absent resourceVersion"
})

const versionInput = ({ error, pick, version }: Choice): Input =>
  pick < 4
    ? { _tag: "VersionFailed", error: errors[error] ?? unreachable }
    : { _tag: "VersionRead", resourceVersion: rv(version) }

const pageInput = ({ error, pick, version }: Choice): Input => {
  const failure = errors[error] ?? unreachable
  if (pick < 4) return { _tag: "ListFailed", error: failure }
  const page = {
    items: [object(version)],
    undecodable: pick % 2 === 0 ? [undecodable(version)] : [],
    resourceVersion: rv(version),
    continue: pick < 7 ? "more" : undefined
  }
  return { _tag: "PageListed", page }
}

const endInput = ({ at, error, pick, version }: Choice): Input => {
  if (pick === 0 || pick === 1) return { _tag: "WatchEnded", end: "closed", at }
  // What `overdue` asks for takes its time.
  if (pick === 2) return { _tag: "WatchEnded", end: version % 2 === 0 ? "silent" : "deadline", at: 200_000 }
  const failure = errors[error] ?? unreachable
  return { _tag: "WatchEnded", end: endOf(failure), error: failure, at }
}

const watchInput = (phase: State.Phase, choice: Choice): Input => {
  const { at, pick, version } = choice
  if (phase._tag === "Opening") return pick < 6 ? endInput(choice) : watched({ _tag: "Opened" }, at)
  const streaming = phase._tag === "StreamingList"
  if (pick < 5) return streaming && pick === 4 ? { _tag: "WatchEnded", end: "stalled", at } : endInput(choice)
  if (pick < 8) return watched({ _tag: "Applied", object: object(version) }, at)
  if (pick < 9) return watched({ _tag: "Deleted", object: object(version) }, at)
  if (pick < 10) return watched(undecodable(version), at)
  const initialEventsEnd = streaming && version > 3
  return watched({ _tag: "Bookmark", resourceVersion: rv(version), initialEventsEnd }, at)
}

const inputFor = (operation: State.Operation, phase: State.Phase, choice: Choice): Input => {
  switch (operation._tag) {
    case "ListPage":
      return pageInput(choice)
    case "OpenWatch":
      return watchInput(phase, choice)
    case "Wait":
      return { _tag: "Waited" }
    case "ReadVersion":
      return versionInput(choice)
  }
}

const started: Input = { _tag: "Started" }

/** Drives the protocol with one possible input after the other. */
const drive = (choices: ReadonlyArray<Choice>, streamingList = true): ReadonlyArray<Entry> => {
  const trace: Array<Entry> = []
  let operation: State.Operation | undefined
  let state = State.initial({ ...settings, streamingList })
  for (const choice of [undefined, ...choices]) {
    const input = choice === undefined || operation === undefined ? started : inputFor(operation, state.phase, choice)
    const [after, actions] = Protocol.step(state, input)
    trace.push({ operation, before: state, input, after, actions })
    operation = operationIn(actions)[0] ?? operation
    state = after
  }
  return trace
}

/** Whether the input ends the operation under way: it is its outcome, or an event that makes its watch useless. */
const isEnd = ({ before: { phase }, input }: Entry): boolean => {
  if (input._tag !== "Watched") return true
  const { event } = input
  return phase._tag === "StreamingList"
    ? event._tag === "Bookmark" && !event.initialEventsEnd
    : event._tag === "Undecodable" && event.key === undefined
}

const isNews = ({ position }: State.State, version: ResourceVersion): boolean =>
  position._tag === "ListDue" || (position.resourceVersion !== version && !isOlder(version, position.resourceVersion))

const phaseOf: Record<State.Operation["_tag"], State.Phase["_tag"]> = {
  ListPage: "Listing",
  OpenWatch: "Opening",
  Wait: "Waiting",
  ReadVersion: "ReadingVersion"
}

const newer = (a: ResourceVersion | undefined, b: ResourceVersion): ResourceVersion =>
  a !== undefined && isOlder(b, a) ? a : b

const runs = {
  choices: Arbitrary.array(Arbitrary.schema(Choice), { minLength: 1, maxLength: 60 }),
  streamingList: Schema.Boolean
}
const options = { arbitrary: { runs: 500 } }

/** A server that repeats itself. */
const cycles = {
  cycle: Arbitrary.array(Arbitrary.schema(Choice), { minLength: 1, maxLength: 5 }),
  streamingList: Schema.Boolean
}
const repeated = (cycle: ReadonlyArray<Choice>) => Array.from({ length: 20 }, () => cycle).flat()

describe("InformerProtocol", () => {
  it.prop(
    "has exactly one operation under way after every input, in the phase of that name",
    runs,
    ({ choices, streamingList }) => {
      for (const entry of drive(choices, streamingList)) {
        const { actions, after, input } = entry
        const begun = operationIn(actions)
        assert.strictEqual(begun.length, isEnd(entry) ? 1 : 0, JSON.stringify(input))
        for (const operation of begun) {
          assert.strictEqual(actions.at(-1), operation)
          assert.strictEqual(after.phase._tag, phaseOf[operation._tag])
        }
      }
    },
    options
  )

  it.prop(
    "ignores the inputs of an operation that is not under way",
    runs,
    ({ choices, streamingList }) => {
      const [choice] = choices
      if (choice === undefined) return
      const strays: ReadonlyArray<readonly [State.Operation["_tag"] | undefined, Input]> = [
        [undefined, started],
        ["ListPage", pageInput(choice)],
        ["OpenWatch", endInput(choice)],
        ["OpenWatch", watched({ _tag: "Applied", object: object(choice.version) }, choice.at)],
        ["Wait", { _tag: "Waited" }],
        ["ReadVersion", versionInput(choice)]
      ]
      let operation: State.Operation["_tag"] | undefined
      for (const { actions, after } of drive(choices, streamingList)) {
        operation = operationIn(actions)[0]?._tag ?? operation
        for (const [of, stray] of strays) {
          if (of === operation) continue
          const [state, more] = Protocol.step(after, stray)
          assert.strictEqual(state, after)
          assert.deepStrictEqual(more, [])
        }
      }
    },
    options
  )

  it.prop(
    "takes a list when one is due, and emits no change and resumes no watch before it",
    runs,
    ({ choices, streamingList }) => {
      let due = false
      let held: ResourceVersion | undefined
      const check: Partial<Record<Tag, (action: Action, entry: Entry) => void>> = {
        ObserveListing: () => {
          due = true
          held = undefined
        },
        EmitReplaced: () => {
          assert.isTrue(due)
          due = false
        },
        EmitApplied: () => assert.isFalse(due),
        EmitDeleted: () => assert.isFalse(due),
        EmitHeard: () => assert.isFalse(due),
        OpenWatch: (action, { after }) => {
          if (action._tag !== "OpenWatch" || !due) return
          if (after.position._tag === "Listed") held = after.position.resourceVersion
          assert.strictEqual(action.from, held)
        }
      }
      for (const entry of drive(choices, streamingList)) {
        for (const action of entry.actions) check[action._tag]?.(action, entry)
      }
    },
    options
  )

  it.prop(
    "resumes from the newest version emitted since the last list, never from an older one",
    runs,
    ({ choices, streamingList }) => {
      let emitted: ResourceVersion | undefined
      for (const { actions, before, input } of drive(choices, streamingList)) {
        for (const action of actions) {
          if (action._tag === "ObserveListing") emitted = undefined
          if (action._tag === "EmitReplaced") emitted = action.resourceVersion
          if (action._tag === "EmitApplied" || action._tag === "EmitDeleted") {
            emitted = newer(emitted, action.object.resourceVersion)
          }
          if (action._tag === "ObserveBookmark" && before.phase._tag === "Watching") {
            emitted = newer(emitted, action.resourceVersion)
          }
          if (action._tag === "OpenWatch" && emitted !== undefined) {
            assert.strictEqual(action.from, emitted, JSON.stringify(input))
          }
        }
      }
    },
    options
  )

  it.prop(
    "emits an older list after newer state only where the server gave up the newer version",
    runs,
    ({ choices, streamingList }) => {
      let newest: ResourceVersion | undefined
      let reason: string | undefined
      for (const { actions } of drive(choices, streamingList)) {
        for (const action of actions) {
          if (action._tag === "ObserveListing") reason = action.reason
          if (action._tag === "EmitApplied") newest = newer(newest, action.object.resourceVersion)
          if (action._tag !== "EmitReplaced") continue
          if (newest !== undefined && isOlder(action.resourceVersion, newest)) {
            assert.include(
              ["expired", "restored", "version-too-large", "refused", "broken", "silent", "periodic"],
              reason
            )
          }
          newest = action.resourceVersion
        }
      }
    },
    options
  )

  it.prop(
    "emits every event of an open watch once: into the list being read, or to the consumer",
    runs,
    ({ choices, streamingList }) => {
      for (const { actions, before, input } of drive(choices, streamingList)) {
        if (input._tag !== "Watched" || !("object" in input.event)) continue
        const { event } = input
        const streaming = before.phase._tag === "StreamingList"
        const expected: Tag =
          event._tag === "Applied" ? (streaming ? "Collect" : "EmitApplied") : streaming ? "Forget" : "EmitDeleted"
        const carried = actions.filter((action) => "object" in action)
        assert.deepStrictEqual(carried, [{ _tag: expected, object: event.object }])
      }
    },
    options
  )

  it.prop(
    "emits Lost once when a watch ends, and only after the consumer was told of it",
    runs,
    ({ choices, streamingList }) => {
      let live = false
      for (const { actions, input } of drive(choices, streamingList)) {
        for (const { _tag: tag } of actions) {
          if (tag === "EmitLost") assert.isTrue(live)
          if (tag.startsWith("Emit")) live = tag !== "EmitLost"
        }
        if (input._tag === "WatchEnded") assert.isFalse(live)
      }
    },
    options
  )

  it.prop(
    "begins at most ten operations without a wait, news or the passing of time, however the server repeats itself",
    cycles,
    ({ cycle, streamingList }) => {
      const choices = repeated(cycle)
      let begun = 0
      for (const { actions, after, before, input } of drive(choices, streamingList)) {
        const news = before.phase._tag === "Watching" && after.position !== before.position
        const passed = input._tag === "WatchEnded" && input.at >= 1000
        const waits = actions.some(({ _tag: tag }) => tag === "Wait")
        begun = waits || (news && input._tag === "Watched") || passed ? 0 : begun + operationIn(actions).length
        if (input._tag === "PageListed" && input.page.continue !== undefined) begun -= 1
        // It reads the version, then a streaming list that stalls, then two paged lists, which may expire, and their watches.
        assert.isAtMost(begun, 10, JSON.stringify(cycle))
      }
    },
    { arbitrary: { runs: 2000 } }
  )

  it.prop(
    "takes a new list at once when the version expires after news",
    cycles,
    ({ cycle, streamingList }) => {
      let news = false
      for (const { actions, before, input } of drive(repeated(cycle), streamingList)) {
        const [action] = actions
        if (action?._tag === "EmitApplied" && isNews(before, action.object.resourceVersion)) news = true
        // Read before a list is due again, which is what the expiry leads to.
        const hadNews = news
        if (actions.some(({ _tag: tag }) => tag === "ObserveListing" || tag === "EmitReplaced")) news = false
        if (!hadNews || input._tag !== "WatchEnded" || input.error?._tag !== "KubeStatusError") continue
        if (input.error.isExpired) assert.notStrictEqual(operationIn(actions)[0]?._tag, "Wait")
      }
    },
    { arbitrary: { runs: 2000 } }
  )

  it.prop(
    "waits at least as long as the server asks, and resets the back-off only after a wait",
    runs,
    ({ choices, streamingList }) => {
      let waited = false
      for (const { actions, input } of drive(choices, streamingList)) {
        const error = "error" in input ? input.error : undefined
        for (const action of actions) {
          if (action._tag === "ResetBackoff") {
            assert.isTrue(waited)
            waited = false
          }
          if (action._tag !== "Wait") continue
          waited = true
          assert.deepStrictEqual(action.atLeast, error?._tag === "KubeStatusError" ? error.retryAfter : undefined)
        }
      }
    },
    options
  )

  it.prop(
    "is in sync again within a few inputs once the server behaves, whatever came before",
    runs,
    ({ choices, streamingList }) => {
      const last = drive(choices, streamingList).at(-1)
      let state = last?.after ?? State.initial(settings)
      for (let inputs = 0; inputs < 6; inputs++) {
        const at = 5000
        const reply: Record<State.Phase["_tag"], Input> = {
          Idle: started,
          Waiting: { _tag: "Waited" },
          ReadingVersion: { _tag: "VersionRead", resourceVersion: rv(20) },
          Listing: {
            _tag: "PageListed",
            page: { items: [], undecodable: [], resourceVersion: rv(20), continue: undefined }
          },
          Opening: watched({ _tag: "Opened" }, at),
          StreamingList: watched({ _tag: "Bookmark", resourceVersion: rv(20), initialEventsEnd: true }, at),
          Watching: watched({ _tag: "Bookmark", resourceVersion: rv(30), initialEventsEnd: false }, at)
        }
        state = Protocol.step(state, reply[state.phase._tag])[0]
      }
      assert.strictEqual(state.phase._tag, "Watching")
      assert.isTrue(state.live)
      assert.deepStrictEqual(state.position, { _tag: "Emitted", resourceVersion: rv(30) })
      assert.isFalse(state.backedOff)
    },
    options
  )

  it.prop(
    "reads all pages of a list at the version of the first, and the list whole after its token expired twice",
    runs,
    ({ choices, streamingList }) => {
      let first: ResourceVersion | undefined
      let expired = 0
      for (const { actions, input, operation } of drive(choices, streamingList)) {
        if (operation?._tag !== "ListPage") continue
        if (input._tag === "PageListed") {
          first = operation.continue === undefined ? input.page.resourceVersion : first
          for (const action of actions) if (action._tag === "OpenWatch") assert.strictEqual(action.from, first)
        }
        const isExpired = input._tag === "ListFailed" && input.error._tag === "KubeStatusError" && input.error.isExpired
        expired = isExpired ? expired + 1 : input._tag === "ListFailed" ? 0 : expired
        for (const action of actions) {
          if (action._tag === "ListPage") assert.strictEqual(action.limit, expired < 2 ? settings.pageSize : undefined)
          else if (action._tag === "OpenWatch" || action._tag === "Wait") expired = 0
        }
      }
    },
    options
  )

  it.prop(
    "ends a watch at its deadline and once it was silent for too long, and not a millisecond before",
    runs,
    ({ choices, streamingList }) => {
      const deadline = 600_000
      for (const { after } of drive(choices, streamingList)) {
        const { phase, sendsBookmarks } = after
        if (phase._tag !== "Opening" && phase._tag !== "StreamingList" && phase._tag !== "Watching") continue
        const heardAt = phase._tag === "Opening" ? 0 : phase.heardAt
        const streaming = phase._tag === "StreamingList" || (phase._tag === "Opening" && phase.streaming)
        const [end, limit] = streaming
          ? (["stalled", Math.min(heardAt + settings.listSilenceMillis, settings.listTimeoutMillis)] as const)
          : sendsBookmarks
            ? (["silent", heardAt + settings.silenceMillis] as const)
            : (["deadline", deadline] as const)
        assert.strictEqual(Protocol.overdue(after, limit, deadline), end)
        assert.strictEqual(Protocol.overdue(after, deadline, deadline), "deadline")
        assert.strictEqual(Protocol.overdue(after, limit - 1, deadline), 1)
        if (heardAt >= limit) continue
        const wait = Number(Protocol.overdue(after, heardAt, deadline))
        assert.isAbove(wait, 0)
        assert.isAtMost(heardAt + wait, limit)
      }
    },
    options
  )

  it.prop(
    "skips an object that cannot be decoded once, and keeps its last known state",
    runs,
    ({ choices, streamingList }) => {
      for (const { actions, after, before, input } of drive(choices, streamingList)) {
        const skipped = actions.filter(({ _tag: tag }) => tag === "Skip" || tag === "CollectUndecodable")
        const found =
          input._tag === "PageListed"
            ? input.page.undecodable
            : input._tag === "Watched" && input.event._tag === "Undecodable"
              ? [input.event]
              : []
        const listing = before.phase._tag !== "Watching"
        const expected = found.flatMap(({ key, message }) => {
          const hold: ReadonlyArray<Action> = listing && key !== undefined ? [{ _tag: "CollectUndecodable", key }] : []
          return listing || key !== undefined ? hold.concat({ _tag: "Skip", key, message }) : hold
        })
        assert.deepStrictEqual(skipped, expected)
        if (input._tag !== "Watched" || input.event._tag !== "Undecodable") continue
        const emitted = actions.filter(({ _tag: tag }) => tag.startsWith("Emit"))
        assert.isEmpty(emitted.filter(({ _tag: tag }) => tag !== "EmitLost"))
        if (listing || input.event.key !== undefined) {
          assert.strictEqual(after.position, before.position)
          assert.strictEqual(after.phase._tag, before.phase._tag)
        }
      }
    },
    options
  )

  it.prop(
    "resumes a watch after a failure or a wait only once it has read a version that is not older, or may not read it",
    runs,
    ({ choices, streamingList }) => {
      let trusted = true
      for (const { actions, before, input } of drive(choices, streamingList)) {
        if (input._tag === "WatchEnded" && input.end !== "closed") trusted = false
        if (input._tag === "PageListed") trusted = true
        if (input._tag === "VersionRead" && before.position._tag !== "ListDue") {
          trusted = !isOlder(input.resourceVersion, before.position.resourceVersion)
        }
        if (input._tag === "VersionFailed" && input.error._tag === "KubeStatusError" && input.error.isForbidden) {
          trusted = true
        }
        for (const action of actions) {
          if (action._tag === "EmitReplaced") trusted = true
          if (action._tag === "Wait") trusted = false
          if (action._tag === "OpenWatch" && action.from !== undefined) assert.isTrue(trusted, JSON.stringify(input))
        }
      }
    },
    options
  )

  it.prop(
    "lists periodically once watches have lived for the interval, and not sooner",
    runs,
    ({ choices, streamingList }) => {
      let lived = 0
      for (const { actions, after, before, input } of drive(choices, streamingList)) {
        if (input._tag === "WatchEnded") lived += input.at
        if (input._tag === "Watched" && after.phase._tag !== "Watching" && before.phase._tag === "Watching") {
          lived += input.at
        }
        const due = before.position._tag === "Emitted" && lived >= settings.relistMillis
        for (const action of actions) {
          if (action._tag === "ObserveListing" && action.reason === "periodic") assert.isTrue(due)
          if (action._tag === "OpenWatch" && action.from !== undefined && due) {
            // Only a watch that ended at once is still resumed.
            assert.isTrue(input._tag === "WatchEnded" && input.at < 1000, JSON.stringify(input))
          }
          if (action._tag === "EmitReplaced") lived = 0
        }
      }
    },
    options
  )

  it.prop(
    "emits Heard before Lost if the server closed the watch, and only then",
    runs,
    ({ choices, streamingList }) => {
      for (const { actions, before, input } of drive(choices, streamingList)) {
        if (input._tag !== "WatchEnded") continue
        const clean = input.end === "closed" && before.phase._tag === "Watching"
        const signs = actions.map(({ _tag: tag }) => tag).filter((tag) => tag === "EmitHeard" || tag === "EmitLost")
        assert.deepStrictEqual(signs, clean ? ["EmitHeard", "EmitLost"] : before.live ? ["EmitLost"] : [])
      }
    },
    options
  )

  it.prop(
    "requests no streaming list after one that ended, stalled or sent an early bookmark, or after two that broke off",
    runs,
    ({ choices, streamingList }) => {
      let broken = 0
      let given = !streamingList
      for (const { actions, before, input } of drive(choices, streamingList)) {
        const streaming = before.phase._tag === "StreamingList"
        if (actions.some(({ _tag: tag }) => tag === "EmitReplaced")) broken = 0
        if (streaming && input._tag === "WatchEnded") {
          if (input.error === undefined) given = true
          else broken += 1
        }
        if (streaming && input._tag === "Watched" && input.event._tag === "Bookmark" && !input.event.initialEventsEnd) {
          given = true
        }
        if (broken >= 2) given = true
        for (const action of actions) if (action._tag === "OpenWatch" && given) assert.isDefined(action.from)
      }
    },
    options
  )
})
