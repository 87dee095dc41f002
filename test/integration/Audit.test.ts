import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Layer, Schema } from "effect"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import type { AuditRecord } from "../../src/observability/Audit.ts"
import { Authorization } from "../../src/authorization/Authorization.ts"
import { send } from "../support/Https.ts"
import type { Client } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

const records: Array<AuditRecord> = []

const put = (client: Client, target: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(TestService, ({ port }) => send(port, { client, path: target, method: "PUT", headers }))

const nginx = (count: number | string) => `/namespaces/personal/deployments/nginx/replica_count/${count}`

/** Waits for the next record; there must be no other. */
const recorded = (into: Array<AuditRecord>): Effect.Effect<AuditRecord> =>
  Effect.suspend(() => {
    const record = into.shift()
    return record === undefined ? Effect.andThen(Effect.sleep(5), recorded(into)) : Effect.succeed(record)
  })

describe("each write leaves a record", () => {
  withService({
    auditRecords: records,
    authorizer: Authorization.layerScripted((identity) => identity.user !== "nobody")
  })("with what was asked, by whom, and what became of it", (it) => {
    it.effect("accepted: the subject, its certificate, the old count and the new one", () =>
      Effect.gen(function* () {
        const { status } = yield* put("admin", nginx(9), { "x-request-id": "scale-1" })
        assert.strictEqual(status, 200)
        const record = yield* recorded(records)
        const { identity, receivedAt, remoteAddress, ...rest } = record
        assert.deepStrictEqual(rest, {
          requestId: "scale-1",
          namespace: "personal",
          deployment: "nginx",
          from: 12,
          to: "9",
          outcome: "accepted",
          code: undefined,
          late: false
        })
        assert.strictEqual(identity?.user, "admin")
        assert.deepStrictEqual(identity?.groups, ["platform"])
        assert.match(identity?.serialNumber ?? "", /^[0-9A-F]+$/)
        assert.include(identity?.issuer, "kube-resource-api development CA")
        assert.strictEqual(remoteAddress, "127.0.0.1")
        assert.isAbove(receivedAt, 1_700_000_000_000)
        assert.strictEqual(records.length, 0)
      })
    )

    for (const [what, client, target, status, code] of [
      ["not identified", "stranger", nginx(3), 403, "Unidentified"],
      ["not permitted", "nobody", nginx(3), 401, "Unauthorized"],
      ["not a count", "admin", nginx("+3"), 400, "BadRequest"],
      ["ANY", "admin", "/namespaces/ANY/deployments/nginx/replica_count/3", 400, "BadRequest"],
      ["not there", "admin", "/namespaces/personal/deployments/nothing/replica_count/3", 410, "NotFound"]
    ] as const) {
      it.effect(`refused: ${what}`, () =>
        Effect.gen(function* () {
          assert.strictEqual((yield* put(client, target)).status, status)
          const record = yield* recorded(records)
          assert.deepStrictEqual([record.outcome, record.code], ["refused", code])
          assert.strictEqual(record.identity?.user, client === "stranger" ? undefined : client)
          assert.strictEqual(record.to, target.split("/").at(-1))
          assert.strictEqual(records.length, 0)
        })
      )
    }

    it.effect("refused by the cluster, and failed for want of it", () =>
      Effect.gen(function* () {
        const { faults } = yield* EmbeddedKube
        yield* faults.denyVerb("deployments/scale", "patch")
        assert.strictEqual((yield* put("admin", nginx(3))).status, 401)
        const refused = yield* recorded(records)
        assert.deepStrictEqual([refused.outcome, refused.code], ["refused", "Unauthorized"])
        yield* faults.allowAll
        yield* faults.failNext(1, { status: 500, on: "patch" })
        assert.strictEqual((yield* put("admin", nginx(3))).status, 503)
        const failed = yield* recorded(records)
        assert.deepStrictEqual([failed.outcome, failed.code], ["failed", "ClusterUnavailable"])
        assert.strictEqual(records.length, 0)
      })
    )

    it.effect("a client that goes away: its write is followed to its end, and seen by the next read", () =>
      Effect.gen(function* () {
        const { cluster, faults } = yield* EmbeddedKube
        const { port } = yield* TestService
        yield* cluster.scale("personal", "kafka", 3)
        yield* faults.hang(true)
        const kafka = "/namespaces/personal/deployments/kafka/replica_count"
        yield* Effect.timeoutOption(put("admin", `${kafka}/7`), "200 millis")
        const abandoned = yield* recorded(records)
        assert.deepStrictEqual([abandoned.outcome, abandoned.code, abandoned.late], ["failed", "Abandoned", false])
        yield* faults.hang(false)
        const late = yield* recorded(records)
        assert.deepStrictEqual([late.outcome, late.code, late.late], ["accepted", undefined, true])
        assert.strictEqual(late.requestId, abandoned.requestId)
        assert.strictEqual(
          (yield* send(port, { client: "viewer", path: kafka })).body,
          '{"namespace":"personal","deployment":"kafka","replica_count":7}'
        )
        assert.strictEqual(records.length, 0)
      })
    )

    it.effect("reads leave none", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        yield* send(port, { client: "admin", path: "/namespaces/personal/deployments/nginx/replica_count" })
        yield* send(port, { client: "none", path: "/namespaces" })
        assert.strictEqual(records.length, 0)
      })
    )
  })

  const slowRecords: Array<AuditRecord> = []
  withService({
    auditRecords: slowRecords,
    headersTimeout: Duration.millis(300),
    requestTimeout: Duration.millis(300),
    scaler: Layer.succeed(DeploymentScaler, {
      scale: (ref, replicas) =>
        Effect.delay(
          Effect.succeed({ ...ref, replicas, resourceVersion: ResourceVersion.make("999999"), uid: "u" }),
          "700 millis"
        )
    })
  })("408 and a late record", (it) => {
    it.effect("a write that was sent is recorded again once its end is known", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* put("admin", nginx(5))).status, 408)
        const failed = yield* recorded(slowRecords)
        assert.deepStrictEqual([failed.outcome, failed.code, failed.late], ["failed", "RequestTimeout", false])
        const late = yield* recorded(slowRecords)
        assert.deepStrictEqual([late.outcome, late.code, late.late], ["accepted", undefined, true])
      })
    )
  })

  const shedRecords: Array<AuditRecord> = []
  withService({
    auditRecords: shedRecords,
    maxInFlight: 2,
    scaler: Layer.succeed(DeploymentScaler, {
      scale: (ref, replicas) =>
        Effect.delay(
          Effect.succeed({ ...ref, replicas, resourceVersion: ResourceVersion.make("999999"), uid: "u" }),
          "500 millis"
        )
    })
  })("shed for want of room", (it) => {
    it.effect("refused, with who asked and for what", () =>
      Effect.gen(function* () {
        const answers = yield* Effect.all(
          Array.from({ length: 4 }, (_, count) => put("admin", nginx(count))),
          { concurrency: "unbounded" }
        )
        const shed = answers.filter(({ status }) => status === 503).length
        assert.isAbove(shed, 0)
        const all = yield* Effect.forEach(answers, () => recorded(shedRecords))
        const refused = all.filter(({ code }) => code === "NotReady")
        assert.strictEqual(refused.length, shed)
        for (const { deployment, identity, namespace, outcome, to } of refused) {
          assert.deepStrictEqual(
            [outcome, identity?.user, namespace, deployment],
            ["refused", "admin", "personal", "nginx"]
          )
          assert.match(to, /^[0-3]$/)
        }
        assert.strictEqual(shedRecords.length, 0)
      })
    )
  })
})

const Recorded = Schema.Struct({
  metadata: Schema.Struct({ namespace: Schema.String, name: Schema.String }),
  involvedObject: Schema.Struct({
    apiVersion: Schema.String,
    kind: Schema.String,
    namespace: Schema.String,
    name: Schema.String,
    uid: Schema.String,
    resourceVersion: Schema.String
  }),
  type: Schema.String,
  reason: Schema.String,
  message: Schema.String,
  source: Schema.Struct({ component: Schema.String, host: Schema.String }),
  firstTimestamp: Schema.String,
  count: Schema.Number
})

describe("AUDIT_EVENTS", () => {
  withService({ auditEvents: true })("records each accepted write on its deployment", (it) => {
    it.effect("an Event that `kubectl describe deployment` finds: by kind, name and uid", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        assert.strictEqual((yield* put("admin", nginx("x"))).status, 400)
        assert.strictEqual((yield* put("admin", nginx(9), { "x-request-id": "scale-2" })).status, 200)
        const arrived: Effect.Effect<void> = Effect.flatMap(kube.events, ({ length }) =>
          length > 0 ? Effect.void : Effect.andThen(Effect.sleep(5), arrived)
        )
        yield* arrived
        const [event, ...others] = yield* kube.events
        assert.strictEqual(others.length, 0)
        assert.strictEqual(event?.group, "")
        const object = yield* Schema.decodeUnknownEffect(Recorded)(event?.object)
        const deployment = yield* Effect.promise(() =>
          fetch(`${kube.url}/apis/apps/v1/namespaces/personal/deployments/nginx`, {
            headers: { authorization: "Bearer test" }
          }).then((response) => response.json())
        )
        const { uid } = (yield* Schema.decodeUnknownEffect(
          Schema.Struct({ metadata: Schema.Struct({ uid: Schema.String }) })
        )(deployment)).metadata
        assert.strictEqual(object.involvedObject.uid, uid)
        assert.strictEqual(object.involvedObject.kind, "Deployment")
        assert.strictEqual(object.involvedObject.apiVersion, "apps/v1")
        assert.strictEqual(object.involvedObject.name, "nginx")
        assert.match(object.metadata.name, /^nginx\.[0-9a-f]+$/)
        assert.strictEqual(object.reason, "ReplicaCountSet")
        assert.strictEqual(object.message, "Replica count set from 12 to 9 by admin (platform), request scale-2")
        assert.match(object.firstTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
        assert.strictEqual(object.source.component, "kube-resource-api")
      })
    )

    it.effect("a cluster that refuses Events does not keep writes from being accepted", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* kube.faults.denyVerb("events", "create")
        const before = (yield* kube.events).length
        assert.strictEqual((yield* put("admin", nginx(4))).status, 200)
        const asked: Effect.Effect<void> = Effect.flatMap(kube.requests, (requests) =>
          requests.some(({ status, verb }) => verb === "create" && status === 403)
            ? Effect.void
            : Effect.andThen(Effect.sleep(5), asked)
        )
        yield* asked
        assert.strictEqual((yield* kube.events).length, before)
        assert.strictEqual((yield* kube.snapshot).deployments.find(({ name }) => name === "nginx")?.replicas, 4)
      })
    )
  })

  withService()("is off unless it is asked for", (it) => {
    it.effect("no Event is posted", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        assert.strictEqual((yield* put("admin", nginx(4))).status, 200)
        assert.isFalse((yield* kube.requests).some(({ verb }) => verb === "create"))
      })
    )
  })
})
