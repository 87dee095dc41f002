import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { type Answer, agent, send } from "../support/Https.ts"
import type { Client } from "../support/Pki.ts"
import { eventually } from "../support/Eventually.ts"
import { tlsConnection } from "../support/Sockets.ts"
import { TestService, withService } from "../support/TestService.ts"

const read = "/namespaces/personal/deployments/nginx/replica_count"
const write = (count: number | string) => `/namespaces/personal/deployments/nginx/replica_count/${count}`

/** The statuses of `times` requests, one after the other. */
const repeated = (
  times: number,
  client: Client,
  path: string,
  method = "GET"
): Effect.Effect<ReadonlyArray<number>, Error, TestService> =>
  Effect.flatMap(TestService, ({ port }) =>
    Effect.forEach(Array.from({ length: times }), () =>
      Effect.map(send(port, { client, path, method }), ({ status }) => status)
    )
  )

const expectRefusal = (answer: Answer, budget: string, quota: number, windowSeconds: number) => {
  assert.strictEqual(answer.status, 429)
  assert.strictEqual(answer.headers["content-type"], "application/problem+json")
  const problem: Record<string, unknown> = JSON.parse(answer.body)
  assert.strictEqual(problem["code"], "TooManyRequests")
  assert.strictEqual(problem["instance"], answer.headers["x-request-id"])
  const retryAfter = Number(answer.headers["retry-after"])
  assert.isAtLeast(retryAfter, 1)
  assert.isAtMost(retryAfter, windowSeconds)
  assert.strictEqual(answer.headers["ratelimit-policy"], `"${budget}";q=${quota};w=${windowSeconds}`)
  assert.strictEqual(answer.headers["ratelimit"], `"${budget}";r=0;t=${retryAfter}`)
}

// The rate is too slow to return a token during the test: only the burst counts.
const settings = (burst: number) => ({
  rateLimitReads: 0.01,
  rateLimitWrites: 0.01,
  rateLimitUnidentified: 0.01,
  rateLimitBurst: burst,
  rateLimitClients: 1000
})

describe("429 TooManyRequests", () => {
  withService({ rateLimit: settings(3000) })("budgets", (it) => {
    it.effect("each user has one budget for reads and one for writes over all connections", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const pool = yield* agent("viewer")
        const ask = send(port, { client: "viewer", path: read, agent: pool })
        const statuses = yield* Effect.forEach(Array.from({ length: 3200 }), () => ask, { concurrency: 8 })
        const allowed = statuses.filter(({ status }) => status === 200).length
        assert.isAtLeast(allowed, 3000)
        assert.isBelow(allowed, 3200)
        assert.isTrue(statuses.every(({ status }) => status === 200 || status === 429))
        expectRefusal(yield* send(port, { client: "viewer", path: read }), "reads", 3000, 300_000)
        assert.deepStrictEqual(yield* repeated(1, "viewer", write(12), "PUT"), [200])
        assert.deepStrictEqual(yield* repeated(2, "admin", read), [200, 200])
      })
    )
  })

  withService({ rateLimit: settings(1) })("without a certificate", (it) => {
    it.effect("a connection that was told to send less is not read for a while, and then again", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const socket = yield* tlsConnection({ port }, "none")
        const received: Array<string> = []
        socket.on("data", (chunk: Buffer) =>
          received.push(...(chunk.toString("latin1").match(/HTTP\/1\.1 \d+/g) ?? []))
        )
        const statuses = Effect.sync(() => received.map((line) => line.slice(9)))
        const request = `GET ${read} HTTP/1.1\r\nHost: x\r\n\r\n`
        for (const expected of ["403", "429"]) {
          socket.write(request)
          yield* eventually(statuses, (all) => all.at(-1) === expected)
        }
        socket.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert.strictEqual((yield* send(port, { client: "none", path: "/livez" })).status, 200)
        assert.deepStrictEqual(yield* statuses, ["403", "429"])
        yield* eventually(statuses, (all) => all.length === 3)
        assert.deepStrictEqual(yield* statuses, ["403", "429", "200"])
        socket.destroy()
      })
    )
  })

  withService({ rateLimit: settings(4) })("among the other checks", (it) => {
    it.effect("429 follows 404 and precedes 400 and 410; HEAD counts as a read; probes are exempt", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        assert.deepStrictEqual(yield* repeated(2, "viewer", "/namespaces/UPPER/deployments"), [400, 400])
        assert.deepStrictEqual(yield* repeated(1, "viewer", "/namespaces", "HEAD"), [200])
        assert.deepStrictEqual(yield* repeated(1, "viewer", "/namespaces/nowhere/deployments"), [410])
        assert.deepStrictEqual(yield* repeated(1, "viewer", "/namespaces/UPPER/deployments"), [429])
        assert.deepStrictEqual(yield* repeated(1, "viewer", "/namespaces/nowhere/deployments"), [429])
        assert.deepStrictEqual(yield* repeated(1, "viewer", "/openapi.json"), [429])
        assert.deepStrictEqual(yield* repeated(2, "viewer", "/nothing"), [404, 404])
        assert.deepStrictEqual(
          yield* repeated(9, "viewer", "/livez"),
          Array.from({ length: 9 }, () => 200)
        )
        assert.deepStrictEqual(
          yield* repeated(9, "none", "/readyz"),
          Array.from({ length: 9 }, () => 200)
        )
        const problem = yield* send(port, { client: "viewer", path: "/namespaces/UPPER/deployments" })
        expectRefusal(problem, "reads", 4, 400)
      })
    )

    it.effect("writes have a budget of their own", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        assert.deepStrictEqual(yield* repeated(2, "admin", write(12), "PUT"), [200, 200])
        assert.deepStrictEqual(yield* repeated(2, "admin", write("many"), "PUT"), [400, 400])
        expectRefusal(yield* send(port, { client: "admin", path: write(12), method: "PUT" }), "writes", 4, 400)
      })
    )

    it.effect("unidentified callers share the budget of their address, whatever certificate they present", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        assert.deepStrictEqual(yield* repeated(2, "none", "/namespaces"), [403, 403])
        assert.deepStrictEqual(yield* repeated(1, "stranger", "/namespaces"), [403])
        assert.deepStrictEqual(yield* repeated(1, "expired", write(12), "PUT"), [403])
        expectRefusal(yield* send(port, { client: "none", path: "/namespaces" }), "unidentified", 4, 400)
        assert.deepStrictEqual(yield* repeated(1, "stranger", write(12), "PUT"), [429])
        // An identified caller of the same address has its own budget.
        assert.deepStrictEqual(yield* repeated(1, "nobody", "/namespaces"), [200])
      })
    )
  })

  withService({
    rateLimit: {
      rateLimitReads: 0,
      rateLimitWrites: 0,
      rateLimitUnidentified: 0,
      rateLimitBurst: 1,
      rateLimitClients: 1
    }
  })("a limit of 0", (it) => {
    it.effect("does not limit reads, writes or unidentified callers", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* repeated(5, "admin", read), [200, 200, 200, 200, 200])
        assert.deepStrictEqual(yield* repeated(3, "admin", write(12), "PUT"), [200, 200, 200])
        assert.deepStrictEqual(yield* repeated(5, "none", read), [403, 403, 403, 403, 403])
      })
    )
  })
})
