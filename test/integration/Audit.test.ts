import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch, Layer, Schema } from "effect"
import { DeploymentScaler } from "../../src/model/DeploymentScaler.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import type { AuditRecord } from "../../src/observability/Audit.ts"
import { Authorization } from "../../src/authorization/Authorization.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import type { Client } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

const records: Array<AuditRecord> = []

const put = (client: Client, target: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(TestService, ({ port }) => send(port, { client, path: target, method: "PUT", headers }))

const nginx = (count: number | string) => `/namespaces/personal/deployments/nginx/replica_count/${count}`

/** Waits for the next record and removes it. */
const recorded = (from: Array<AuditRecord>) =>
  eventually(
    () => from.shift(),
    (record) => record !== undefined
  )

/** A scaler whose writes succeed once `open` has run. */
const gatedScaler = () => {
  const gate = Latch.makeUnsafe()
  const scaler = Layer.succeed(DeploymentScaler, {
    scale: (ref, replicas) =>
      Effect.as(gate.await, { ...ref, replicas, resourceVersion: ResourceVersion.make("999999"), uid: "u" })
  })
  return { scaler, open: gate.open }
}

describe("each write has an audit record", () => {
  withService({
    auditRecords: records,
    authorizer: Authorization.layerScripted((identity) => identity.user !== "nobody")
  })("with the request, the caller and the outcome", (it) => {
    it.effect("accepted: the caller, its certificate, the old and the new count", () =>
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
          ifMatch: undefined,
          dryRun: false,
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
      ["an unidentified caller", "stranger", nginx(3), 403, "Unidentified"],
      ["a denied caller", "nobody", nginx(3), 401, "Unauthorized"],
      ["an invalid count", "admin", nginx("+3"), 400, "BadRequest"],
      ["ANY as a namespace", "admin", "/namespaces/ANY/deployments/nginx/replica_count/3", 400, "BadRequest"],
      ["an unknown deployment", "admin", "/namespaces/personal/deployments/nothing/replica_count/3", 410, "NotFound"]
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

    it.effect("refused by the cluster, and failed because of the cluster", () =>
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

    it.effect(
      "the write of a client that disconnects is recorded when the cluster accepts it, and the next read shows it",
      () =>
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

    it.effect("reads have none", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        yield* send(port, { client: "admin", path: "/namespaces/personal/deployments/nginx/replica_count" })
        yield* send(port, { client: "none", path: "/namespaces" })
        assert.strictEqual(records.length, 0)
      })
    )
  })

  const slow = gatedScaler()
  const slowRecords: Array<AuditRecord> = []
  withService({
    auditRecords: slowRecords,
    headersTimeout: Duration.millis(300),
    requestTimeout: Duration.millis(300),
    scaler: slow.scaler
  })("a write that exceeds REQUEST_TIMEOUT", (it) => {
    it.effect("is recorded as failed, and again when the cluster accepts it", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* put("admin", nginx(5))).status, 408)
        const failed = yield* recorded(slowRecords)
        assert.deepStrictEqual([failed.outcome, failed.code, failed.late], ["failed", "RequestTimeout", false])
        yield* slow.open
        const late = yield* recorded(slowRecords)
        assert.deepStrictEqual([late.outcome, late.code, late.late], ["accepted", undefined, true])
      })
    )
  })

  const held = gatedScaler()
  const shedRecords: Array<AuditRecord> = []
  withService({ auditRecords: shedRecords, maxInFlight: 2, scaler: held.scaler })("a shed write", (it) => {
    it.effect("is recorded as refused, with the caller and the target", () =>
      Effect.gen(function* () {
        const writes = yield* Effect.forEach([0, 1, 2, 3], (count) =>
          Effect.forkChild(put("admin", `${nginx(count)}?dryRun=All`, { "if-match": '"12"' }))
        )
        yield* eventually(
          () => shedRecords.length,
          (recorded) => recorded > 0
        )
        yield* held.open
        const answers = yield* Effect.forEach(writes, Fiber.join)
        const shed = answers.filter(({ status }) => status === 503).length
        assert.isAbove(shed, 0)
        const all = yield* Effect.forEach(answers, () => recorded(shedRecords))
        const refused = all.filter(({ code }) => code === "NotReady")
        assert.strictEqual(refused.length, shed)
        for (const { deployment, dryRun, identity, ifMatch, namespace, outcome, to } of refused) {
          assert.deepStrictEqual([ifMatch, dryRun], ['"12"', true])
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
  withService({ auditEvents: true })("posts an Event for each accepted write", (it) => {
    it.effect("with the kind, name and uid by which `kubectl describe deployment` finds it", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        assert.strictEqual((yield* put("admin", nginx("x"))).status, 400)
        assert.strictEqual((yield* put("admin", nginx(9), { "x-request-id": "scale-2" })).status, 200)
        const [event, ...others] = yield* eventually(kube.events, ({ length }) => length > 0)
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

    it.effect("a write is accepted although the cluster rejects the Event", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* kube.faults.denyVerb("events", "create")
        const before = (yield* kube.events).length
        assert.strictEqual((yield* put("admin", nginx(4))).status, 200)
        yield* eventually(kube.requests, (requests) =>
          requests.some(({ status, verb }) => verb === "create" && status === 403)
        )
        assert.strictEqual((yield* kube.events).length, before)
        assert.strictEqual((yield* kube.snapshot).deployments.find(({ name }) => name === "nginx")?.replicas, 4)
      })
    )
  })

  withService()("is off by default", (it) => {
    it.effect("no Event is posted", () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        assert.strictEqual((yield* put("admin", nginx(4))).status, 200)
        assert.isFalse((yield* kube.requests).some(({ verb }) => verb === "create"))
      })
    )
  })
})
