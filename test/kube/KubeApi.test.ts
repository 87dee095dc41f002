import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Schema, Stream } from "effect"
import { readFileSync } from "node:fs"
import { DeploymentName, NamespaceName } from "../../src/contract/Names.ts"
import { unconditional } from "../../src/model/DeploymentScaler.ts"
import { ReplicaCount } from "../../src/contract/Names.ts"
import { ResourceVersion } from "../../src/model/ResourceVersion.ts"
import { KubeApi } from "../../src/kube/KubeApi.ts"
import { deployments, namespaces } from "../../src/kube/wire/ResourceKind.ts"
import { json, kubeApi, serve } from "./HttpCluster.ts"

const ref = { namespace: NamespaceName.make("personal"), name: DeploymentName.make("nginx") }
const watchRequest = { resourceVersion: ResourceVersion.make("5"), sendInitialEvents: false, timeoutSeconds: 300 }

const deployment = (name: string, spec?: unknown) => ({
  metadata: { namespace: "personal", name, resourceVersion: "7", labels: { app: name } },
  spec,
  status: { replicas: 99 }
})

const failing = (answer: Parameters<typeof serve>[0], listTimeout: Duration.Input = "30 seconds") =>
  Effect.gen(function* () {
    const { url } = yield* serve(answer)
    return yield* Effect.flip(
      Effect.provide(
        Effect.flatMap(KubeApi, (api) => api.listPage(namespaces, {})),
        kubeApi(url, { listTimeout })
      )
    )
  })

describe("listPage", () => {
  it.live("requests one page and projects its objects; an absent count is 1", () =>
    Effect.gen(function* () {
      const { received, url } = yield* serve((_, response) =>
        json(response, 200, {
          kind: "DeploymentList",
          metadata: { resourceVersion: "42", continue: "next", remainingItemCount: 3 },
          items: [deployment("nginx", { replicas: 0, paused: true }), deployment("kafka", {}), deployment("zoo")]
        })
      )
      const page = yield* Effect.provide(
        Effect.flatMap(KubeApi, (api) => api.listPage(deployments, { limit: 500, continue: "to/ken=" })),
        kubeApi(url)
      )
      assert.deepStrictEqual(JSON.parse(JSON.stringify(page)), {
        items: [
          { namespace: "personal", name: "nginx", replicas: 0, resourceVersion: "7" },
          { namespace: "personal", name: "kafka", replicas: 1, resourceVersion: "7" },
          { namespace: "personal", name: "zoo", replicas: 1, resourceVersion: "7" }
        ],
        undecodable: [],
        resourceVersion: "42",
        continue: "next"
      })
      assert.strictEqual(received[0]?.path, "/apis/apps/v1/deployments")
      assert.deepStrictEqual(received[0]?.query, { limit: "500", continue: "to/ken=" })
      assert.strictEqual(received[0]?.headers.authorization, "Bearer secret")
    })
  )

  it.live.each([{ items: null }, {}])("reads %o as an empty list, and an empty continue token as none", (rest) =>
    Effect.gen(function* () {
      const { url } = yield* serve((_, response) =>
        json(response, 200, { metadata: { resourceVersion: "42", continue: "" }, ...rest })
      )
      const page = yield* Effect.provide(
        Effect.flatMap(KubeApi, (api) => api.listPage(namespaces, {})),
        kubeApi(url)
      )
      assert.deepStrictEqual(page.items, [])
      assert.isUndefined(page.continue)
    })
  )

  it.live("fails with the Status of the cluster and its Retry-After", () =>
    Effect.gen(function* () {
      const error = yield* failing((_, response) =>
        json(
          response,
          504,
          {
            kind: "Status",
            reason: "Timeout",
            message: "Too large resource version: 9, current: 5",
            details: { causes: [{ reason: "ResourceVersionTooLarge" }], retryAfterSeconds: 3 }
          },
          { "retry-after": "7" }
        )
      )
      assert(error._tag === "KubeStatusError")
      assert.strictEqual(error.code, 504)
      assert.isTrue(error.isVersionTooLarge)
      assert.isFalse(error.isExpired)
      assert.strictEqual(Duration.toSeconds(error.retryAfter ?? 0), 7)
    })
  )

  it.live("fails with the HTTP status of a response that is no Status", () =>
    Effect.gen(function* () {
      const error = yield* failing((_, response) => void response.writeHead(503).end("<h1>no</h1>"))
      assert(error._tag === "KubeStatusError")
      assert.strictEqual(error.code, 503)
    })
  )

  it.live("fails with KubeDecodeError on an unexpected response", () =>
    Effect.gen(function* () {
      const page = yield* failing((_, response) => void response.writeHead(200).end("<h1>Log in</h1>"))
      assert.strictEqual(page._tag, "KubeDecodeError")
    })
  )

  it.live("reports an object that cannot be decoded by its key, and reads the others", () =>
    Effect.gen(function* () {
      const { url } = yield* serve((_, response) =>
        json(response, 200, {
          metadata: { resourceVersion: "1" },
          items: [deployment("nginx", { replicas: -1 }), {}, deployment("kafka", { replicas: 3 })]
        })
      )
      const page = yield* Effect.provide(
        Effect.flatMap(KubeApi, (api) => api.listPage(deployments, {})),
        kubeApi(url)
      )
      assert.deepStrictEqual(page.undecodable, [
        { key: "personal/nginx", message: "an invalid or absent replicas" },
        { key: undefined, message: "an invalid or absent namespace" }
      ])
      assert.deepStrictEqual(
        page.items.map(({ name }) => String(name)),
        ["kafka"]
      )
    })
  )

  it.live("fails with KubeUnreachable on a timeout or a broken connection", () =>
    Effect.gen(function* () {
      const late = yield* failing(() => undefined, "50 millis")
      assert(late._tag === "KubeUnreachable")
      assert.strictEqual(late.message, "no response within 50ms")
      const cut = yield* failing((_, response) => void response.destroy())
      assert.strictEqual(cut._tag, "KubeUnreachable")
    })
  )
})

const watching = (answer: Parameters<typeof serve>[0]) =>
  Effect.gen(function* () {
    const { received, url } = yield* serve(answer)
    const tags: Array<string> = []
    const exit = yield* Stream.unwrap(Effect.map(KubeApi, (api) => api.watch(namespaces, watchRequest))).pipe(
      Stream.runForEach((event) => Effect.sync(() => tags.push(event._tag))),
      Effect.provide(kubeApi(url)),
      Effect.flip,
      Effect.catch(() => Effect.succeed(undefined))
    )
    return { tags, error: exit, received }
  })

describe("watch", () => {
  const added = JSON.stringify({
    type: "ADDED",
    object: { metadata: { name: "big", resourceVersion: "6", annotations: { note: "größe 🙂" } } }
  })

  it.live("requests bookmarks and the given timeout, and emits the events as they arrive", () =>
    Effect.gen(function* () {
      const { error, received, tags } = yield* watching((_, response) => {
        response.writeHead(200)
        response.write(`${added}\n{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}\n`)
        response.end('{"type":"DELETED","object":{"metadata":{"name":"a","resourceVersion":"10"}}}\n')
      })
      assert.isUndefined(error)
      assert.deepStrictEqual(tags, ["Opened", "Applied", "Bookmark", "Deleted"])
      assert.deepStrictEqual(received[0]?.query, {
        watch: "true",
        allowWatchBookmarks: "true",
        timeoutSeconds: "300",
        resourceVersion: "5"
      })
    })
  )

  it.live.each([
    { what: "a line that is not JSON", text: "garbage\n", tag: "KubeDecodeError" },
    { what: "an unknown type", text: '{"type":"MOVED","object":{}}\n', tag: "KubeDecodeError" },
    { what: "a truncated line", text: '{"type":"ADD', tag: "KubeDecodeError" },
    {
      what: "an ERROR event",
      text: '{"type":"ERROR","object":{"code":410,"reason":"Expired"}}\n',
      tag: "KubeStatusError"
    }
  ])("fails on $what, after the events before it", ({ tag, text }) =>
    Effect.gen(function* () {
      const { error, tags } = yield* watching((_, response) => void response.writeHead(200).end(`${added}\n${text}`))
      assert.deepStrictEqual(tags, ["Opened", "Applied"])
      assert.strictEqual(error?._tag, tag)
    })
  )

  it.live("fails with KubeUnreachable when the connection breaks", () =>
    Effect.gen(function* () {
      const { error, tags } = yield* watching((_, response) => {
        response.writeHead(200)
        response.write(`${added}\n{"type"`, () => response.destroy())
      })
      assert.deepStrictEqual(tags, ["Opened", "Applied"])
      assert.strictEqual(error?._tag, "KubeUnreachable")
    })
  )

  it.live("opens before the first event, and closes its connection with the scope", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const { url } = yield* serve((_, response) => {
        response.writeHead(200).flushHeaders()
        response.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
      })
      const opened = yield* Deferred.make<void>()
      const layer = yield* Effect.provide(Effect.context<KubeApi>(), kubeApi(url))
      const watch = yield* Stream.unwrap(Effect.map(KubeApi, (api) => api.watch(namespaces, watchRequest))).pipe(
        Stream.runForEach(() => Deferred.succeed(opened, undefined)),
        Effect.provideContext(layer),
        Effect.forkChild
      )
      yield* Deferred.await(opened)
      yield* Fiber.interrupt(watch)
      yield* Deferred.await(closed)
    })
  )

  it.live("enables TCP keep-alive after 15 seconds of silence", () =>
    Effect.gen(function* () {
      const { port, url } = yield* serve((_, response) => void response.writeHead(200).flushHeaders())
      const timers = yield* Stream.unwrap(Effect.map(KubeApi, (api) => api.watch(namespaces, watchRequest))).pipe(
        Stream.take(1),
        Stream.mapEffect(() => Effect.sync(() => clientTimers(port))),
        Stream.runCollect,
        Effect.provide(kubeApi(url))
      )
      assert.deepStrictEqual(
        timers.flat().map((timer) => timer.kind),
        ["keepalive"]
      )
      assert.isAtMost(timers.flat()[0]?.seconds ?? Number.NaN, 15)
      assert.isAbove(timers.flat()[0]?.seconds ?? Number.NaN, 5)
    })
  )
})

/** The kernel's timers of the established connections to a port, from /proc/net/tcp. */
const clientTimers = (port: number) =>
  readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(
      (columns) => columns[2]?.endsWith(`:${port.toString(16).toUpperCase().padStart(4, "0")}`) && columns[3] === "01"
    )
    .map((columns) => {
      const [kind, ticks] = (columns[5] ?? "").split(":")
      return { kind: kind === "02" ? "keepalive" : kind, seconds: Number.parseInt(ticks ?? "", 16) / 100 }
    })

describe("scale", () => {
  it.live("patches the scale subresource, and reads an absent count as 0", () =>
    Effect.gen(function* () {
      const { received, url } = yield* serve((_, response) =>
        json(response, 200, {
          metadata: { namespace: "personal", name: "nginx", resourceVersion: "8", uid: "d-1" },
          spec: {}
        })
      )
      const scaled = yield* Effect.provide(
        Effect.flatMap(KubeApi, (api) => api.scale(ref, ReplicaCount.make(0), unconditional)),
        kubeApi(url)
      )
      assert.deepStrictEqual(JSON.parse(JSON.stringify(scaled)), {
        namespace: "personal",
        name: "nginx",
        replicas: 0,
        resourceVersion: "8",
        uid: "d-1"
      })
      const [request] = received
      assert.strictEqual(request?.method, "PATCH")
      assert.strictEqual(request?.path, "/apis/apps/v1/namespaces/personal/deployments/nginx/scale")
      assert.deepStrictEqual(request?.query, { fieldManager: "kube-resource-api" })
      assert.strictEqual(request?.headers["content-type"], "application/merge-patch+json")
      assert.strictEqual(request?.body, '{"spec":{"replicas":0}}')
    })
  )
})

describe("conditional scale", () => {
  const scaled = { metadata: { namespace: "personal", name: "nginx", resourceVersion: "8" }, spec: { replicas: 5 } }

  it.live.each([
    [12, '[{"op":"test","path":"/spec/replicas","value":12},{"op":"add","path":"/spec/replicas","value":5}]'],
    [0, '[{"op":"test","path":"/spec/replicas","value":null},{"op":"add","path":"/spec/replicas","value":5}]']
  ] as const)("of the count %i is one JSON Patch", ([ifCount, body]) =>
    Effect.gen(function* () {
      const { received, url } = yield* serve((_, response) => json(response, 200, scaled))
      const options = { ifCount: ReplicaCount.make(ifCount), dryRun: false }
      yield* Effect.provide(
        Effect.flatMap(KubeApi, (api) => api.scale(ref, ReplicaCount.make(5), options)),
        kubeApi(url)
      )
      assert.strictEqual(received.length, 1)
      assert.strictEqual(received[0]?.method, "PATCH")
      assert.strictEqual(received[0]?.headers["content-type"], "application/json-patch+json")
      assert.strictEqual(received[0]?.body, body)
      assert.deepStrictEqual(received[0]?.query, { fieldManager: "kube-resource-api" })
    })
  )

  it.live("a dry run has the parameter dryRun=All", () =>
    Effect.gen(function* () {
      const { received, url } = yield* serve((_, response) => json(response, 200, scaled))
      for (const ifCount of [undefined, ReplicaCount.make(12)]) {
        yield* Effect.provide(
          Effect.flatMap(KubeApi, (api) => api.scale(ref, ReplicaCount.make(5), { ifCount, dryRun: true })),
          kubeApi(url)
        )
      }
      for (const { query } of received) {
        assert.deepStrictEqual(query, { fieldManager: "kube-resource-api", dryRun: "All" })
      }
      assert.strictEqual(received.length, 2)
    })
  )

  it.live("getScale reads the scale subresource", () =>
    Effect.gen(function* () {
      const { received, url } = yield* serve((_, response) => json(response, 200, scaled))
      const scale = yield* Effect.provide(
        Effect.flatMap(KubeApi, (api) => api.getScale(ref)),
        kubeApi(url)
      )
      assert.strictEqual(scale.replicas, 5)
      const [request] = received
      assert.strictEqual(request?.method, "GET")
      assert.strictEqual(request?.path, "/apis/apps/v1/namespaces/personal/deployments/nginx/scale")
      // Without a version the API server reads from its store, not from its cache.
      assert.deepStrictEqual(request?.query, {})
    })
  )
})

describe("accessReview", () => {
  it.live("requests a review for a user, and succeeds with the decision and its reason", () =>
    Effect.gen(function* () {
      const { received, url } = yield* serve((_, response) =>
        json(response, 201, { status: { allowed: false, reason: "no RBAC" } })
      )
      const decision = yield* Effect.provide(
        Effect.flatMap(KubeApi, (api) =>
          api.accessReview({
            subject: { user: "jane", groups: ["dev"] },
            access: {
              verb: "update",
              group: "apps",
              resource: "deployments",
              subresource: "scale",
              namespace: "personal"
            }
          })
        ),
        kubeApi(url)
      )
      assert.deepStrictEqual(decision, { allowed: false, reason: "no RBAC" })
      const body = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Unknown))(received[0]?.body)
      assert.deepStrictEqual(body, {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SubjectAccessReview",
        spec: {
          user: "jane",
          groups: ["dev"],
          resourceAttributes: {
            verb: "update",
            group: "apps",
            resource: "deployments",
            subresource: "scale",
            namespace: "personal"
          }
        }
      })
    })
  )

  it.live("requests a review of a path with nonResourceAttributes", () =>
    Effect.gen(function* () {
      const { received, url } = yield* serve((_, response) => json(response, 201, { status: { allowed: true } }))
      const decision = yield* Effect.provide(
        Effect.flatMap(KubeApi, (api) =>
          api.accessReview({ subject: { user: "jane", groups: [] }, access: { verb: "get", path: "/metrics" } })
        ),
        kubeApi(url)
      )
      assert.deepStrictEqual(decision, { allowed: true, reason: "" })
      const body = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Unknown))(received[0]?.body)
      assert.deepStrictEqual(body, {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SubjectAccessReview",
        spec: { user: "jane", groups: [], nonResourceAttributes: { verb: "get", path: "/metrics" } }
      })
    })
  )
})
