import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Random, Schema } from "effect"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Authorization } from "../../src/authorization/Authorization.ts"
import * as PolicyAuthorization from "../../src/authorization/PolicyAuthorization.ts"
import * as ApiClient from "../../src/client/Client.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import type { AuditRecord } from "../../src/observability/Audit.ts"
import { eventually } from "../support/Eventually.ts"
import { agent, send } from "../support/Https.ts"
import { measured } from "../support/Measured.ts"
import { observed } from "../support/Observed.ts"
import { type Client, file } from "../support/Pki.ts"
import { exchange } from "../support/Sockets.ts"
import { type Overrides, TestService, withService } from "../support/TestService.ts"

const nginx = "/namespaces/personal/deployments/nginx/replica_count"

const Problem = Schema.fromJsonString(
  Schema.Struct({
    type: Schema.String,
    title: Schema.String,
    status: Schema.Number,
    detail: Schema.String,
    instance: Schema.String,
    code: Schema.String,
    current: Schema.optionalKey(Schema.Number)
  })
)

const put = (target: string, ifMatch?: string, client: Client = "admin") =>
  Effect.flatMap(TestService, ({ port }) =>
    send(port, { client, path: target, method: "PUT", headers: ifMatch === undefined ? {} : { "if-match": ifMatch } })
  )

const expectWritten = Effect.fnUntraced(function* (target: string, ifMatch?: string) {
  const { body, status } = yield* put(target, ifMatch)
  assert.deepStrictEqual([status, body], [200, "{}"])
})

const expectProblem = Effect.fnUntraced(function* (
  target: string,
  ifMatch: string | undefined,
  [status, code]: readonly [number, string],
  client: Client = "admin"
) {
  const answer = yield* put(target, ifMatch, client)
  assert.strictEqual(answer.status, status, answer.body)
  assert.strictEqual(answer.headers["content-type"], "application/problem+json")
  const problem = yield* Effect.orDie(Schema.decodeUnknownEffect(Problem)(answer.body))
  assert.deepStrictEqual([problem.status, problem.code], [status, code])
  assert.strictEqual(problem.instance, answer.headers["x-request-id"])
  assert.strictEqual("current" in problem, code === "PreconditionFailed")
  return problem
})

const expectFailed = Effect.fnUntraced(function* (target: string, ifMatch: string, current: number) {
  const problem = yield* expectProblem(target, ifMatch, [412, "PreconditionFailed"])
  assert.strictEqual(problem.current, current)
  assert.include(problem.detail, `has the count ${current}`)
})

const read = Effect.flatMap(TestService, ({ port }) => send(port, { client: "admin", path: nginx })).pipe(
  Effect.map(({ body }) => Number(/"replica_count":([0-9]+)\}/.exec(body)?.[1]))
)

/** The count of nginx in the cluster. */
const stored = Effect.gen(function* () {
  const { deployments } = yield* (yield* EmbeddedKube).snapshot
  return deployments.find(({ name }) => name === "nginx")?.replicas
})

/** Sets the count as another client of the cluster does, and waits until the service shows it. */
const given = Effect.fnUntraced(function* (count: number) {
  const kube = yield* EmbeddedKube
  yield* kube.faults.reset
  yield* kube.cluster.scale("personal", "nginx", count)
  yield* eventually(read, (shown) => assert.strictEqual(shown, count))
  yield* kube.clearRequests
})

/** Sets the count as another client does, while the service hears nothing of it. */
const unseen = Effect.fnUntraced(function* (count: number) {
  const kube = yield* EmbeddedKube
  yield* kube.faults.stallWatches()
  yield* kube.cluster.scale("personal", "nginx", count)
})

/** The requests to the scale subresource: method and path. */
const scaleRequests = Effect.gen(function* () {
  const requests = yield* (yield* EmbeddedKube).requests
  return requests
    .filter(({ resource }) => resource === "deployments/scale")
    .map(({ method, path }) => `${method} ${path}`)
})

const scale = "/apis/apps/v1/namespaces/personal/deployments/nginx/scale"
const patched = `PATCH ${scale}?fieldManager=kube-resource-api`

const records: Array<AuditRecord> = []
const lastRecord = () => {
  const { code, dryRun, ifMatch, outcome, to } = records.at(-1) ?? assert.fail("no record")
  return { code, dryRun, ifMatch, outcome, to }
}

const withObserved = (overrides: Overrides) =>
  layer(TestService.layer(overrides).pipe(Layer.provideMerge(observed())), { excludeTestServices: true })

withService({ auditRecords: records, auditEvents: true })("a write with If-Match", (it) => {
  it.effect("sets the count in one request if the count is the expected one, and is read at once", () =>
    Effect.gen(function* () {
      yield* given(12)
      yield* (yield* EmbeddedKube).faults.stallWatches()
      yield* expectWritten(`${nginx}/38`, '"12"')
      assert.strictEqual(yield* read, 38)
      assert.strictEqual(yield* stored, 38)
      assert.deepStrictEqual(yield* scaleRequests, [patched])
      assert.deepStrictEqual(lastRecord(), {
        to: "38",
        ifMatch: '"12"',
        dryRun: false,
        outcome: "accepted",
        code: undefined
      })
    })
  )

  it.effect("fails with 412 and the cluster's count, also if the cache still has the expected one", () =>
    Effect.gen(function* () {
      yield* given(12)
      yield* unseen(20)
      assert.strictEqual(yield* read, 12)
      yield* expectFailed(`${nginx}/38`, '"12"', 20)
      assert.strictEqual(yield* stored, 20)
      assert.deepStrictEqual(yield* scaleRequests, [patched, `GET ${scale}`])
      assert.deepStrictEqual(lastRecord(), {
        to: "38",
        ifMatch: '"12"',
        dryRun: false,
        outcome: "refused",
        code: "PreconditionFailed"
      })
    })
  )

  it.effect("asks the cluster, not the cache: an outdated cache refuses nothing", () =>
    Effect.gen(function* () {
      yield* given(12)
      yield* unseen(20)
      yield* expectWritten(`${nginx}/21`, '"20"')
      assert.strictEqual(yield* read, 21)
    })
  )

  it.effect("is safe to repeat: 200 where the count is already the one to set, with no second Event", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* given(12)
      const before = (yield* kube.events).length
      const first = yield* put(`${nginx}/38`, '"12"')
      assert.deepStrictEqual([first.status, first.body, first.headers["x-already-set"]], [200, "{}", undefined])
      yield* eventually(kube.events, ({ length }) => length === before + 1)
      const second = yield* put(`${nginx}/38`, '"12"')
      assert.deepStrictEqual([second.status, second.body, second.headers["x-already-set"]], [200, "{}", "true"])
      assert.strictEqual(second.headers["content-type"], first.headers["content-type"])
      yield* expectWritten(`${nginx}/39`, '"38"')
      // The Events are posted in order: one of the repetition would have come before this one.
      const events = yield* eventually(kube.events, (all) => JSON.stringify(all.at(-1)).includes("from 38 to 39"))
      assert.strictEqual(events.length, before + 2)
    })
  )

  it.effect("a repeated write is read at once, although the service has not heard of the first", () =>
    Effect.gen(function* () {
      yield* given(12)
      yield* unseen(38)
      assert.strictEqual(yield* read, 12)
      yield* expectWritten(`${nginx}/38`, '"12"')
      assert.strictEqual(yield* read, 38)
    })
  )

  it.effect("sets the count to the expected one itself", () =>
    Effect.gen(function* () {
      yield* given(12)
      yield* expectWritten(`${nginx}/12`, '"12"')
      assert.strictEqual(yield* stored, 12)
    })
  )

  it.effect("expects and sets 0 and the largest count", () =>
    Effect.gen(function* () {
      yield* given(12)
      yield* expectFailed(`${nginx}/5`, '"0"', 12)
      yield* expectWritten(`${nginx}/0`, '"12"')
      assert.strictEqual(yield* stored, 0)
      yield* expectFailed(`${nginx}/5`, '"1"', 0)
      yield* expectWritten(`${nginx}/2147483647`, '"0"')
      yield* expectWritten(`${nginx}/3`, '"2147483647"')
      assert.strictEqual(yield* stored, 3)
    })
  )

  it.effect("of * is a write without it", () =>
    Effect.gen(function* () {
      yield* given(12)
      yield* expectWritten(`${nginx}/5`, "*")
      assert.strictEqual(yield* stored, 5)
      assert.deepStrictEqual(yield* scaleRequests, [patched])
      assert.strictEqual(lastRecord().ifMatch, "*")
    })
  )

  for (const ifMatch of [
    "12",
    "",
    'W/"12"',
    '"12", "13"',
    '"12","12"',
    '"012"',
    '"+12"',
    '"-12"',
    '"12.0"',
    '"1e1"',
    '"2147483648"',
    '""',
    '"abc"',
    "*, *",
    '"12"x',
    "'12'",
    '"12'
  ]) {
    it.effect(`of ${JSON.stringify(ifMatch)} is refused with 400 and does not reach the cluster`, () =>
      Effect.gen(function* () {
        yield* given(12)
        const problem = yield* expectProblem(`${nginx}/5`, ifMatch, [400, "BadRequest"])
        assert.match(problem.detail, /if-match/)
        assert.match(problem.detail, /0(?:\.\.| and )2147483647/)
        assert.deepStrictEqual(yield* scaleRequests, [])
        assert.deepStrictEqual(lastRecord(), {
          to: "5",
          ifMatch,
          dryRun: false,
          outcome: "refused",
          code: "BadRequest"
        })
      })
    )
  }

  it.effect("in several fields is refused with 400, whatever they hold", () =>
    Effect.gen(function* () {
      yield* given(12)
      const { port } = yield* TestService
      for (const fields of [
        ['"12"', '"12"'],
        ['"12"', ""],
        ["", '"12"'],
        ["*", "*"],
        ['"12"', "*"],
        ["", ""]
      ]) {
        const lines = fields.map((value) => `If-Match: ${value}\r\n`).join("")
        const answer = yield* exchange(port, [
          `PUT ${nginx}/5 HTTP/1.1\r\nHost: x\r\n${lines}Connection: close\r\n\r\n`
        ])
        assert.match(answer, /^HTTP\/1\.1 400 /, JSON.stringify(fields))
      }
      assert.deepStrictEqual(yield* scaleRequests, [])
    })
  )

  it.effect("of 64 kB is refused with 431", () =>
    Effect.gen(function* () {
      const tags = Array.from({ length: 11_000 }, (_, at) => `"${at}"`).join(",")
      assert.isAbove(tags.length, 65_536)
      yield* expectProblem(`${nginx}/5`, tags, [431, "HeaderFieldsTooLarge"])
      yield* expectProblem(`${nginx}/5`, tags.slice(0, 6000), [400, "BadRequest"])
    })
  )

  it.effect("of any bytes never ends in a defect", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at).filter((at) => at !== 10 && at !== 13))
      for (let round = 0; round < 60; round++) {
        const length = yield* Random.nextIntBetween(0, 40)
        const value = Buffer.alloc(length)
        for (let at = 0; at < length; at++) value[at] = bytes[yield* Random.nextIntBetween(0, bytes.length)] ?? 0
        const answer = yield* exchange(port, [
          `PUT ${nginx}/5 HTTP/1.1\r\nHost: x\r\nIf-Match: `,
          value,
          "\r\nConnection: close\r\n\r\n"
        ])
        assert.match(answer, /^HTTP\/1\.1 400 /, JSON.stringify(value.toString("latin1")))
      }
    })
  )

  it.effect("that admission denies is 401 with the cluster's reason, although the cluster answers 422 to both", () =>
    Effect.gen(function* () {
      yield* given(12)
      const { faults } = yield* EmbeddedKube
      yield* faults.denyScales({ status: 422, message: "at most 20 replicas" })
      const { detail } = yield* expectProblem(`${nginx}/38`, '"12"', [401, "Unauthorized"])
      assert.include(detail, "at most 20 replicas")
      yield* expectFailed(`${nginx}/38`, '"13"', 12)
      yield* expectProblem(`${nginx}/38`, undefined, [401, "Unauthorized"])
      assert.strictEqual(yield* stored, 12)
    })
  )

  it.effect("is 503 with Retry-After if the current count cannot be read", () =>
    Effect.gen(function* () {
      yield* given(12)
      const { faults } = yield* EmbeddedKube
      yield* faults.failNext(1, { status: 429, retryAfter: 7, on: "get", resource: "deployments/scale" })
      const answer = yield* put(`${nginx}/38`, '"13"')
      assert.deepStrictEqual([answer.status, answer.headers["retry-after"]], [503, "7"])
      yield* faults.denyVerb("deployments/scale", "get")
      const { detail } = yield* expectProblem(`${nginx}/38`, '"13"', [503, "ClusterUnavailable"])
      assert.strictEqual(detail, "the cluster refused the write, and the current count could not be read")
      assert.deepInclude(lastRecord(), { outcome: "failed", code: "ClusterUnavailable" })
      assert.strictEqual(yield* stored, 12)
    })
  )

  it.effect("to an absent deployment is 410", () =>
    Effect.gen(function* () {
      yield* given(12)
      yield* expectProblem(nginx.replace("nginx", "absent").concat("/1"), '"1"', [410, "NotFound"])
      yield* expectProblem("/namespaces/absent/deployments/nginx/replica_count/1", '"1"', [410, "NotFound"])
    })
  )

  it.effect("on a read is ignored", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      for (const value of ['"1"', "garbage"]) {
        const answer = yield* send(port, { client: "admin", path: nginx, headers: { "if-match": value } })
        assert.strictEqual(answer.status, 200)
      }
    })
  )
})

withService({ auditRecords: records, auditEvents: true })("a write with dryRun=All", (it) => {
  it.effect("is checked by the cluster and changes nothing: cluster, cache and Events stay as they are", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* given(12)
      const before = yield* kube.snapshot
      for (const ifMatch of [undefined, "*", '"12"']) {
        yield* expectWritten(`${nginx}/38?dryRun=All`, ifMatch)
        assert.strictEqual(yield* read, 12)
        assert.deepStrictEqual(lastRecord(), { to: "38", ifMatch, dryRun: true, outcome: "accepted", code: undefined })
      }
      assert.deepStrictEqual(yield* kube.snapshot, before)
      assert.deepStrictEqual(
        yield* scaleRequests,
        Array.from({ length: 3 }, () => `${patched}&dryRun=All`)
      )
      yield* expectWritten(`${nginx}/13`)
      const events = yield* eventually(kube.events, ({ length }) => length > 0)
      assert.include(JSON.stringify(events[0]), "from 12 to 13")
    })
  )

  it.effect("finds what a write would: a failed precondition, a denial, an absent deployment", () =>
    Effect.gen(function* () {
      const { faults } = yield* EmbeddedKube
      yield* given(12)
      yield* unseen(20)
      yield* expectFailed(`${nginx}/38?dryRun=All`, '"12"', 20)
      assert.deepStrictEqual(lastRecord(), {
        to: "38",
        ifMatch: '"12"',
        dryRun: true,
        outcome: "refused",
        code: "PreconditionFailed"
      })
      yield* expectWritten(`${nginx}/20?dryRun=All`, '"12"')
      assert.strictEqual(yield* read, 12)
      yield* faults.denyScales({ status: 403, message: "frozen" })
      yield* expectProblem(`${nginx}/38?dryRun=All`, undefined, [401, "Unauthorized"])
      yield* faults.denyScales(undefined)
      yield* expectProblem("/namespaces/personal/deployments/absent/replica_count/1?dryRun=All", undefined, [
        410,
        "NotFound"
      ])
      assert.strictEqual(yield* stored, 20)
    })
  )

  it.effect("is one however the request target is written", () =>
    Effect.gen(function* () {
      yield* given(12)
      const { port } = yield* TestService
      for (const target of [
        `${nginx}/38?%64ryRun=A%6cl`,
        `${nginx.replace("nginx", "ngin%78")}/3%38?dryRun=All`,
        `${nginx}/38?&dryRun=All&`,
        `https://other.example.com${nginx}/38?dryRun=All`
      ]) {
        const answer = yield* exchange(port, [`PUT ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`])
        assert.match(answer, /^HTTP\/1\.1 200 /, target)
        assert.strictEqual(yield* stored, 12)
        assert.isTrue(lastRecord().dryRun)
      }
      yield* expectWritten(`${nginx}/13?`)
      yield* expectWritten(`${nginx}/14?&&`)
      assert.isFalse(lastRecord().dryRun)
      assert.strictEqual(yield* stored, 14)
    })
  )

  for (const query of [
    "dryrun=All",
    "dryRun",
    "dryRun=",
    "dryRun=all",
    "dryRun=None",
    "dryRun=true",
    "dryRun=All&dryRun=All",
    "dryRun=All&dryRun=None",
    "dryRun=&dryRun=",
    "dryRun[]=All",
    "dryRun=All;x=1",
    "dryRun=All%00",
    "pretty=true",
    "dryRun=All&pretty=true",
    "pretty=true&dryRun=All",
    "fieldManager=x",
    "=",
    "=All",
    "x",
    "%zz",
    "dryRun=%zz",
    "__proto__=1",
    "__proto__[dryRun]=All",
    "constructor=1",
    "toString",
    "?dryRun=All",
    "dryRun=All?"
  ]) {
    it.effect(`any other query is 400, and does not reach the cluster: ?${query}`, () =>
      Effect.gen(function* () {
        yield* given(12)
        for (const ifMatch of [undefined, '"12"']) {
          yield* expectProblem(`${nginx}/38?${query}`, ifMatch, [400, "BadRequest"])
        }
        assert.deepStrictEqual(yield* scaleRequests, [])
        assert.strictEqual(yield* stored, 12)
      })
    )
  }

  it.effect("the error of a query names the one that a PUT may have", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const answer = yield* send(port, { client: "admin", method: "PUT", path: `${nginx}/38?dry=1` })
      assert.include(answer.body, '"detail":"The query of a PUT may be dryRun=All and nothing else."')
    })
  )

  it.effect("the query of a read is ignored", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      for (const query of ["dryRun=None", "pretty", "__proto__=1"]) {
        assert.strictEqual((yield* send(port, { client: "admin", path: `${nginx}?${query}` })).status, 200)
      }
    })
  )
})

describe("the order of checks", () => {
  withService({ authorizer: Authorization.layerScripted(({ user }) => user === "admin") })(
    "of a served instance",
    (it) => {
      it.effect("404, 403, 400, 401, 410, 412", () =>
        Effect.gen(function* () {
          yield* expectProblem(`/nothing?x=1`, "garbage", [404, "UnknownEndpoint"], "none")
          yield* expectProblem(`${nginx}/5?x=1`, "garbage", [403, "Unidentified"], "none")
          yield* expectProblem(`${nginx}/5`, "garbage", [400, "BadRequest"], "viewer")
          yield* expectProblem(`${nginx}/5?x=1`, undefined, [400, "BadRequest"], "viewer")
          yield* expectProblem(`${nginx}/5?dryRun=All`, '"13"', [401, "Unauthorized"], "viewer")
          yield* expectProblem("/namespaces/personal/deployments/absent/replica_count/5", '"13"', [410, "NotFound"])
          yield* expectProblem(`${nginx}/5`, '"13"', [412, "PreconditionFailed"])
        })
      )
    }
  )

  const folder = mkdtempSync(join(tmpdir(), "kube-resource-api-"))
  const policyFile = join(folder, "policy.yaml")
  const rule = (lines: string) => `  - verbs: [get, set]\n    namespaces: [personal]\n    deployments: ["*"]\n${lines}`
  writeFileSync(
    policyFile,
    `rules:\n${rule("    subjects: { users: [admin] }\n    requireIfMatch: true\n")}${rule("    subjects: { users: [admin] }\n    maxReplicas: 3\n")}`
  )
  const authorizer = PolicyAuthorization.layer(policyFile)

  withService({ authorizer, auditRecords: records })("of a policy that requires If-Match", (it) => {
    it.effect("a write without it is 428, unless another rule allows it", () =>
      Effect.gen(function* () {
        yield* given(12)
        for (const ifMatch of [undefined, "*"]) {
          const { detail } = yield* expectProblem(`${nginx}/5`, ifMatch, [428, "PreconditionRequired"])
          assert.match(
            detail,
            /^admin may set the replica count of nginx to 5 in namespace personal only with If-Match/
          )
          assert.deepInclude(lastRecord(), { outcome: "refused", code: "PreconditionRequired", ifMatch })
        }
        yield* expectProblem(`${nginx}/5?dryRun=All`, undefined, [428, "PreconditionRequired"])
        assert.deepStrictEqual(yield* scaleRequests, [])
        yield* expectWritten(`${nginx}/5`, '"12"')
        yield* expectWritten(`${nginx}/3`)
        assert.strictEqual(yield* stored, 3)
      })
    )

    it.effect("400 and 401 precede it, and it precedes 410", () =>
      Effect.gen(function* () {
        yield* expectProblem(`${nginx}/5?x=1`, undefined, [400, "BadRequest"])
        yield* expectProblem(`${nginx}/5`, undefined, [401, "Unauthorized"], "viewer")
        yield* expectProblem("/namespaces/default/deployments/nginx/replica_count/5", undefined, [401, "Unauthorized"])
        const absent = "/namespaces/personal/deployments/absent/replica_count/5"
        yield* expectProblem(absent, undefined, [428, "PreconditionRequired"])
        yield* expectProblem(absent, '"1"', [410, "NotFound"])
      })
    )
  })

  withService({ authorizer, unsynced: Effect.flatMap(EmbeddedKube, ({ faults }) => faults.hang(true)) })(
    "before the first full sync",
    (it) => {
      it.effect("428 precedes 503, which precedes 412", () =>
        Effect.gen(function* () {
          yield* expectProblem(`${nginx}/5`, undefined, [428, "PreconditionRequired"])
          yield* expectProblem(`${nginx}/5`, '"13"', [503, "NotReady"])
          yield* (yield* EmbeddedKube).faults.hang(false)
        })
      )
    }
  )
})

withObserved({})("preconditions_failed_total", (it) => {
  it.effect("counts the writes that were refused with 412", () =>
    Effect.gen(function* () {
      const before = yield* measured("preconditions_failed_total")
      yield* given(12)
      yield* expectFailed(`${nginx}/38`, '"13"', 12)
      yield* expectFailed(`${nginx}/38?dryRun=All`, '"13"', 12)
      yield* expectWritten(`${nginx}/12`, '"13"')
      yield* expectProblem(`${nginx}/38`, "13", [400, "BadRequest"])
      assert.strictEqual((yield* measured("preconditions_failed_total")) - before, 2)
      const { port } = yield* TestService
      const page = yield* send(port, { client: "admin", path: "/metrics" })
      assert.match(page.body, /^preconditions_failed_total [0-9]+$/m)
    })
  )
})

const pem = (name: string) => readFileSync(file(name), "utf8")

const asAdmin = ApiClient.layerMutualTls({ ca: pem("ca.crt"), cert: pem("admin.crt"), key: pem("admin.key") })

const ref = {
  namespace: ApiClient.NamespaceName.make("personal"),
  deployment: ApiClient.DeploymentName.make("nginx")
}

const counted = (count: number) => ApiClient.ReplicaCount.make(count)

withService()("the typed client", (it) => {
  it.effect("sends a precondition and a dry run, and decodes the current count of a failed one", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const client = yield* ApiClient.make(`https://localhost:${port}`)
      yield* given(12)
      const params = { ...ref, replica_count: counted(38) }
      const set = (expected: number, dryRun: boolean) =>
        client.setReplicaCount({
          params,
          headers: { "if-match": counted(expected) },
          ...(dryRun ? { query: { dryRun: "All" } } : {})
        })
      assert.deepStrictEqual(yield* set(12, true), {})
      assert.strictEqual(yield* stored, 12)
      const failed = yield* Effect.flip(set(13, false))
      assert(failed._tag === "PreconditionFailed")
      assert.instanceOf(failed, ApiClient.PreconditionFailed)
      assert.strictEqual(failed.current, 12)
      assert.strictEqual(failed.status, 412)
      yield* set(failed.current, false)
      assert.strictEqual(yield* stored, 38)
      yield* client.setReplicaCount({ params, headers: { "if-match": "*" } })
      yield* client.setReplicaCount({ params })
    }).pipe(Effect.provide(asAdmin))
  )
})

withService()("a count that many clients increment by compare-and-set", (it) => {
  const clients = 50
  const increments = 20

  it.effect(
    "loses no increment",
    () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        yield* given(12)
        const attempts = { made: 0, failed: 0 }
        const increment = Effect.fnUntraced(function* (pool: Effect.Success<ReturnType<typeof agent>>) {
          const get = yield* send(port, { client: "admin", path: nginx, agent: pool })
          let expected = Number(/"replica_count":([0-9]+)\}/.exec(get.body)?.[1])
          let tries = 0
          for (;;) {
            attempts.made++
            const answer = yield* send(port, {
              client: "admin",
              path: `${nginx}/${expected + 1}`,
              method: "PUT",
              headers: { "if-match": `"${expected}"` },
              agent: pool
            })
            if (answer.status === 200 && answer.headers["x-already-set"] === undefined) return
            attempts.failed++
            // As clients of a contended count do.
            yield* Effect.sleep(yield* Random.nextIntBetween(0, Math.min(800, 200 * 2 ** tries++)))
            if (answer.status === 200) {
              // Another client has set this count from the same one.
              expected++
              continue
            }
            assert.strictEqual(answer.status, 412, answer.body)
            expected = Number(/"current":([0-9]+)/.exec(answer.body)?.[1])
          }
        })
        yield* Effect.forEach(
          Array.from({ length: clients }, (_, at) => at),
          () =>
            Effect.scoped(
              Effect.flatMap(agent("admin", 1), (pool) =>
                Effect.forEach(Array.from({ length: increments }), () => increment(pool), { discard: true })
              )
            ),
          { concurrency: "unbounded", discard: true }
        )
        assert.strictEqual(yield* stored, 12 + clients * increments)
        assert.isAbove(attempts.failed, clients)
        assert.strictEqual(attempts.made - attempts.failed, clients * increments)
      }),
    240_000
  )
})
