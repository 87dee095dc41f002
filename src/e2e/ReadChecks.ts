/** Conditional reads, waits and event streams. The checks set the count of `nginx` that they begin with. */
import { Duration, Effect, Fiber, type Scope } from "effect"
import { type Check, eventually, expect, expectSame } from "./Check.ts"
import type { OpenStream } from "./EventStream.ts"
import { ask, type Checks, count, expectProblem, expectStatus, ofDenied, one, type Scratch } from "./Requests.ts"
import { type Answer, type Question, ServiceUnderTest } from "./ServiceUnderTest.ts"

/** A path of each kind of read. */
const reads = ({ one }: Scratch): ReadonlyArray<string> => [
  "/namespaces",
  `/namespaces/${one}/deployments`,
  "/namespaces/ANY/deployments",
  count(one, "nginx"),
  count(one, "ANY"),
  count("ANY", "ANY"),
  count("ANY", "nginx")
]

const nginx = ({ one }: Scratch): string => count(one, "nginx")

/** Retries: others may change a real cluster between two requests, and each instance follows it separately. */
const check = (
  { patienceMillis }: Scratch,
  row: string,
  says: string,
  run: Effect.Effect<void, Error, ServiceUnderTest>
): Check<ServiceUnderTest> => ({ row, says, run: eventually(run, patienceMillis) })

const setReplicas = Effect.fnUntraced(function* (scratch: Scratch, replicas: number) {
  yield* expectStatus(yield* ask(`${nginx(scratch)}/${replicas}`, { method: "PUT" }), 200)
})

const tagOf = Effect.fnUntraced(function* (answer: Answer) {
  yield* expectStatus(answer, 200)
  const etag = String(answer.headers["etag"])
  yield* expect(/^"[^"]+"$/.test(etag), `not a strong ETag: ${etag}`)
  return etag
})

const expectFields = Effect.fnUntraced(function* ({ headers }: Pick<Answer, "headers">) {
  yield* expectSame("Cache-Control", headers["cache-control"], "private, no-cache")
  yield* expect(/(?:^|,) *accept *(?:,|$)/i.test(String(headers["vary"])), `Vary: ${String(headers["vary"])}`)
  yield* expect(/^[0-9]+$/.test(String(headers["age"])), `Age: ${String(headers["age"])}`)
  yield* expect(headers["x-request-id"] !== undefined, "no X-Request-Id")
})

const expectUnchanged = Effect.fnUntraced(function* (answer: Answer, etag: string) {
  yield* expectSame("status, body", [answer.status, answer.body], [304, ""])
  yield* expectSame("ETag", answer.headers["etag"], etag)
  yield* expectFields(answer)
})

/** Checks of conditional reads. */
export const conditionalReads = (scratch: Scratch): Checks => {
  const forms: ReadonlyArray<readonly [says: string, field: (etag: string) => string, method?: string]> = [
    ["a weak tag", (etag) => `W/${etag}`],
    ["a list of tags", (etag) => `"other", W/"more" , ${etag}`],
    ["*", () => "*"],
    ["its tag, and HEAD", (etag) => etag, "HEAD"]
  ]
  const unchanged = (path: string, says: string, field: (etag: string) => string, method = "GET") =>
    check(
      scratch,
      "304",
      `${path} with ${says}`,
      Effect.gen(function* () {
        const etag = yield* tagOf(yield* ask(path))
        yield* expectUnchanged(yield* ask(path, { method, headers: { "if-none-match": field(etag) } }), etag)
      })
    )
  const refused = (says: string, path: string, field: string, status: number, code: string) => ({
    row: "304",
    says: `${says}: ${code}`,
    run: Effect.flatMap(ask(path, { headers: { "if-none-match": field } }), (answer) =>
      expectProblem(answer, status, code)
    )
  })
  return [
    ...reads(scratch).map((path) => unchanged(path, "its tag", (etag) => etag)),
    ...[nginx(scratch), count(scratch.one, "ANY")].flatMap((path) =>
      forms.map(([says, field, method]) => unchanged(path, says, field, method))
    ),
    check(
      scratch,
      "304",
      "with another tag: 200, with the body of a GET and the count as the tag",
      Effect.gen(function* () {
        const plain = yield* ask(nginx(scratch))
        const answer = yield* ask(nginx(scratch), { headers: { "if-none-match": '"other", "2147483648"' } })
        yield* expectSame("tag", yield* tagOf(answer), `"${/[0-9]+(?=\}$)/.exec(answer.body)?.[0]}"`)
        yield* expectSame("body", answer.body, plain.body)
        yield* expectFields(answer)
      })
    ),
    ...["nginx", "W/2", '"open', "*, *", ","].map((field) =>
      refused(`with If-None-Match: ${field}`, nginx(scratch), field, 400, "BadRequest")
    ),
    refused("of an absent deployment", count(scratch.one, "absent"), "*", 410, "NotFound"),
    refused("of an absent namespace", `/namespaces/${scratch.absent}/deployments`, "*", 410, "NotFound"),
    {
      row: "304",
      says: "to a denied client: Unauthorized",
      run: Effect.flatMap(ofDenied(nginx(scratch), { headers: { "if-none-match": "*" } }), (answer) =>
        expectProblem(answer, 401, "Unauthorized")
      )
    }
  ]
}

const waiting = (etag: string, seconds: number): Question => ({
  headers: { "if-none-match": etag, prefer: `wait=${seconds}` }
})

/** Checks of reads that wait for a change. */
export const waits = (scratch: Scratch): Checks => {
  const path = nginx(scratch)
  const appliedTo = ({ headers }: Answer) => headers["preference-applied"]
  const atOnce = (says: string, headers: Readonly<Record<string, string>>) =>
    check(
      scratch,
      "wait",
      `${says}: answered at once`,
      Effect.gen(function* () {
        const [took, answer] = yield* Effect.timed(ask(path, { headers: { prefer: "wait=30", ...headers } }))
        yield* tagOf(answer)
        yield* expectSame("Preference-Applied", appliedTo(answer), undefined)
        yield* expect(Duration.toSeconds(took) < 5, `took ${Duration.format(took)}`)
      })
    )
  return [
    check(
      scratch,
      "wait",
      "a PUT ends a wait: 200, with the new count",
      Effect.gen(function* () {
        // The wait occupies its connection.
        const send = yield* (yield* ServiceUnderTest).connection
        yield* setReplicas(scratch, 3)
        yield* eventually(
          Effect.flatMap(send(path), (answer) => expectSame("ETag", answer.headers["etag"], '"3"')),
          scratch.patienceMillis
        )
        const answering = yield* Effect.forkChild(send(path, waiting('"3"', 30)))
        yield* Effect.sleep("500 millis")
        yield* setReplicas(scratch, 4)
        const answer = yield* Fiber.join(answering)
        // Without this field, the request arrived after the change.
        yield* expect(/^wait=[0-9]+$/.test(String(appliedTo(answer))), "no Preference-Applied")
        yield* expectSame("ETag", yield* tagOf(answer), '"4"')
        yield* expectSame("body", answer.body, JSON.stringify(one(scratch.one, "nginx", 4)))
        yield* expectFields(answer)
      }).pipe(Effect.scoped)
    ),
    check(
      scratch,
      "wait",
      "without a change: 304 after the time asked for",
      Effect.gen(function* () {
        const etag = yield* tagOf(yield* ask(path))
        const [took, answer] = yield* Effect.timed(ask(path, waiting(etag, 1)))
        yield* expectUnchanged(answer, etag)
        yield* expectSame("Preference-Applied", appliedTo(answer), "wait=1")
        yield* expect(Duration.toMillis(took) >= 950, `took ${Duration.format(took)}`)
      })
    ),
    atOnce("another tag", { "if-none-match": '"other"' }),
    atOnce("no If-None-Match", {})
  ]
}

const openStream = Effect.fnUntraced(function* (path: string, headers?: Readonly<Record<string, string>>) {
  const service = yield* ServiceUnderTest
  const stream = yield* service.stream(path, headers)
  yield* expectSame("status, Content-Type", [stream.status, stream.headers["content-type"]], [200, "text/event-stream"])
  yield* expectFields(stream)
  return stream
})

const expectEvent = Effect.fnUntraced(function* ({ next }: OpenStream, event: string, id: string, data: string) {
  const got = yield* next
  yield* expectSame("event, id, data", [got.event, got.id, got.data], [event, id, data])
})

/** Checks of event streams. */
export const streams = (scratch: Scratch): Checks => {
  const path = nginx(scratch)
  const body = (replicas: number) => JSON.stringify(one(scratch.one, "nginx", replicas))
  const scoped = (says: string, run: Effect.Effect<void, Error, ServiceUnderTest | Scope.Scope>) =>
    check(scratch, "stream", says, Effect.scoped(run))
  return [
    ...reads(scratch).map((path) =>
      scoped(
        `${path} begins with the body and the tag of a GET`,
        Effect.gen(function* () {
          const stream = yield* openStream(path)
          const answer = yield* ask(path)
          yield* expectEvent(stream, "snapshot", yield* tagOf(answer), answer.body)
        })
      )
    ),
    ...[path, count(scratch.one, "ANY"), count("ANY", "nginx")].map((path) =>
      scoped(
        `${path} sends the change of a PUT, with the new tag`,
        Effect.gen(function* () {
          yield* setReplicas(scratch, 5)
          const stream = yield* openStream(path)
          yield* expectEvent(stream, "snapshot", yield* tagOf(yield* ask(path)), (yield* ask(path)).body)
          yield* setReplicas(scratch, 6)
          yield* expectEvent(stream, "change", yield* tagOf(yield* ask(path)), `[${body(6)}]`)
        })
      )
    ),
    scoped(
      "Last-Event-ID with the current tag: no snapshot, only the next change",
      Effect.gen(function* () {
        yield* setReplicas(scratch, 7)
        const stream = yield* openStream(path, { "last-event-id": '"7"' })
        yield* setReplicas(scratch, 8)
        yield* expectEvent(stream, "change", '"8"', `[${body(8)}]`)
      })
    ),
    scoped(
      "Last-Event-ID with another tag: a snapshot",
      Effect.gen(function* () {
        yield* setReplicas(scratch, 9)
        yield* expectEvent(yield* openStream(path, { "last-event-id": '"8"' }), "snapshot", '"9"', body(9))
      })
    ),
    scoped(
      "ends when the client closes",
      Effect.gen(function* () {
        const stream = yield* openStream(path)
        yield* stream.next
        yield* stream.close
      })
    ),
    {
      row: "stream",
      says: "of an absent deployment: NotFound",
      run: Effect.flatMap(ask(count(scratch.one, "absent"), { headers: { accept: "text/event-stream" } }), (answer) =>
        expectProblem(answer, 410, "NotFound")
      )
    }
  ]
}
