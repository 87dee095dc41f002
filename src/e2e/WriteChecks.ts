/** Conditional writes and dry runs. */
import { Effect, Schema } from "effect"
import { type Check, expectSame } from "./Check.ts"
import {
  ask,
  type Checks,
  count,
  expectProblem,
  expectStatus,
  one,
  problem,
  type Scratch,
  type Services
} from "./Requests.ts"
import { ScratchCluster } from "./ScratchCluster.ts"
import type { Answer } from "./ServiceUnderTest.ts"

const decodeCurrent = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct({ current: Schema.Number })))

const ifMatch = (expected: string) => ({ method: "PUT", headers: { "if-match": expected } })

const alreadySetField = "X-Already-Set"

const alreadySet = ({ headers }: Answer) => headers[alreadySetField.toLowerCase()]

/** Checks that a write fails with 412 and this current count. */
const expectFailed = Effect.fnUntraced(function* (target: string, expected: string, current: number) {
  const answer = yield* ask(target, ifMatch(expected))
  yield* expectProblem(answer, 412, "PreconditionFailed")
  const failed = yield* Effect.mapError(decodeCurrent(answer.body), (error) => new Error(error.message))
  yield* expectSame("current", failed.current, current)
})

/** Checks of the deployment `nginx`. */
export const conditionalWrites = ({ absent, one: namespace }: Scratch): Checks => {
  const path = count(namespace, "nginx")

  const expectStored = Effect.fnUntraced(function* (replicas: number) {
    const cluster = yield* ScratchCluster
    yield* expectSame("the cluster's count", yield* cluster.replicas(namespace, "nginx"), replicas)
  })

  const expectWritten = Effect.fnUntraced(function* (
    target: string,
    expected: string | undefined,
    isAlreadySet = false
  ) {
    const answer = yield* ask(target, expected === undefined ? { method: "PUT" } : ifMatch(expected))
    yield* expectSame("status, body", [answer.status, answer.body], [200, "{}"])
    yield* expectSame(alreadySetField, alreadySet(answer), isAlreadySet ? "true" : undefined)
  })

  /** A check that begins with the count 5. */
  const from5 = (row: string, says: string, run: Effect.Effect<void, Error, Services>): Check<Services> => ({
    row,
    says,
    run: Effect.andThen(expectWritten(`${path}/5`, undefined), run)
  })

  return [
    from5(
      "4",
      "PUT with If-Match of the current count answers {}, also from and to 0, and the next GET shows it",
      Effect.gen(function* () {
        let before = 5
        for (const replicas of [6, 0, 3]) {
          yield* expectWritten(`${path}/${replicas}`, `"${before}"`)
          yield* expectStored(replicas)
          yield* expectSame("GET", (yield* ask(path)).body, JSON.stringify(one(namespace, "nginx", replicas)))
          before = replicas
        }
      })
    ),
    from5("4", "PUT with If-Match: * answers {}", Effect.andThen(expectWritten(`${path}/6`, "*"), expectStored(6))),
    from5(
      "412",
      "PUT with If-Match of another count: PreconditionFailed with the current one, and nothing is set",
      Effect.gen(function* () {
        for (const expected of ["0", "4", "6"]) yield* expectFailed(`${path}/7`, `"${expected}"`, 5)
        yield* expectStored(5)
      })
    ),
    from5(
      "412",
      "the current count is that of the cluster at this moment",
      Effect.gen(function* () {
        const cluster = yield* ScratchCluster
        for (const replicas of [8, 0]) {
          yield* cluster.setReplicas(namespace, "nginx", replicas)
          yield* expectFailed(`${path}/7`, '"5"', replicas)
        }
      })
    ),
    from5(
      "4",
      `PUT with If-Match repeated answers {} with ${alreadySetField}`,
      Effect.gen(function* () {
        yield* expectWritten(`${path}/6`, '"5"')
        yield* expectWritten(`${path}/6`, '"5"', true)
        yield* expectSame("GET", (yield* ask(path)).body, JSON.stringify(one(namespace, "nginx", 6)))
      })
    ),
    from5(
      "4",
      "PUT with dryRun=All answers {}, and changes neither the cluster nor the next GET",
      Effect.gen(function* () {
        yield* expectWritten(`${path}/9?dryRun=All`, undefined)
        yield* expectWritten(`${path}/9?dryRun=All`, '"5"')
        yield* expectSame("GET", (yield* ask(path)).body, JSON.stringify(one(namespace, "nginx", 5)))
        yield* expectStored(5)
      })
    ),
    from5(
      "412",
      "PUT with dryRun=All and If-Match of another count: PreconditionFailed",
      expectFailed(`${path}/9?dryRun=All`, '"4"', 5)
    ),
    ...problem("410", "NotFound", [
      [`${count(namespace, absent)}/1`, ifMatch('"1"'), "PUT with If-Match to an absent deployment"],
      [`${count(namespace, absent)}/1?dryRun=All`, { method: "PUT" }, "PUT with dryRun=All to an absent deployment"]
    ]),
    ...problem("400", "BadRequest", [
      ...["12", 'W/"12"', '"12", "13"', '"012"', '"-1"', '"1.0"', '"2147483648"', '"x"', "*, *"].map(
        (expected) => [`${path}/1`, ifMatch(expected), `PUT with If-Match: ${expected}`] as const
      ),
      ...["dryRun=", "dryRun=all", "dryRun=All&dryRun=All", "dryRun=All&x=1", "x=1", "__proto__=1"].map(
        (query) => [`${path}/1?${query}`, { method: "PUT" }] as const
      )
    ]),
    {
      row: "4",
      says: "none of them set a count",
      run: Effect.gen(function* () {
        yield* expectStored(5)
        yield* expectStatus(yield* ask(`${path}/2`, { method: "PUT" }), 200)
      })
    }
  ]
}
