import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { get } from "node:http"
import { eventually } from "../support/Eventually.ts"
import { agent, send } from "../support/Https.ts"
import { demoSettings, start } from "../support/Process.ts"

const count = "/namespaces/personal/deployments/nginx/replica_count"

const plain = (port: number, path: string, method = "GET") =>
  Effect.callback<{ readonly status: number; readonly type: string | undefined; readonly body: string }, Error>(
    (resume) => {
      const request = get({ host: "127.0.0.1", port, path, method }, (response) => {
        let body = ""
        response.on("data", (chunk: Buffer) => (body += chunk.toString()))
        response.on("end", () =>
          resume(Effect.succeed({ status: response.statusCode ?? 0, type: response.headers["content-type"], body }))
        )
      })
      request.on("error", (error) => resume(Effect.fail(error)))
    }
  )

const lines = (output: string) => output.split("\n").filter((line) => line.startsWith('{"message":"request"'))

describe("the program's metrics", () => {
  it.live("METRICS_PORT serves only /metrics, in plain HTTP, until the end of the drain period", () =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, METRICS_PORT: "0", DRAIN_PERIOD: "2s" })
      yield* instance.printed('"Ready"')
      const port = Number(/"metricsPort":([0-9]+)/.exec(instance.output())?.[1])
      const page = yield* plain(port, "/metrics")
      assert.strictEqual(page.status, 200)
      assert.strictEqual(page.type, "text/plain; version=0.0.4; charset=utf-8")
      // The series of garbage collections appears with the first one.
      yield* eventually(plain(port, "/metrics"), ({ body }) => {
        for (const name of [
          "build_info",
          "process_start_time_seconds",
          "process_cpu_seconds_total",
          "process_resident_memory_bytes",
          "process_open_fds",
          "nodejs_eventloop_delay_seconds",
          "nodejs_gc_duration_seconds_count",
          "cache_deployments",
          "informer_connected",
          "instance_starts_total"
        ]) {
          assert.match(body, new RegExp(`^${name}[{ ]`, "m"))
        }
      })
      assert.include(page.body, "instance_shutdowns_total 0\n")
      assert.strictEqual((yield* plain(port, "/metrics", "HEAD")).status, 200)
      for (const path of ["/", "/livez", "/namespaces"]) {
        assert.strictEqual((yield* plain(port, path)).status, 404)
      }
      instance.child.kill("SIGTERM")
      yield* instance.printed("Shutting down")
      assert.include((yield* plain(port, "/metrics")).body, "instance_shutdowns_total 1\n")
      assert.strictEqual(yield* instance.exited, 0)
    })
  )

  it.live("no metrics port opens without METRICS_PORT; a port in use is an error", () =>
    Effect.gen(function* () {
      const instance = yield* start(demoSettings)
      const port = yield* instance.port
      assert.notInclude(instance.output(), "metricsPort")
      const refused = yield* start({ ...demoSettings, METRICS_PORT: String(port) })
      assert.strictEqual(yield* refused.exited, 1)
      assert.include(refused.output(), `METRICS_PORT=${port}: the port is in use`)
    })
  )
})

describe("the program's request log", () => {
  it.live("has a line for every request until the exit", () =>
    Effect.gen(function* () {
      const instance = yield* start(demoSettings)
      const port = yield* instance.port
      yield* instance.printed('"Ready"')
      const pool = yield* agent("viewer")
      const ids = Array.from({ length: 500 }, (_, at) => `request-${at}`)
      yield* Effect.forEach(
        ids,
        (id) => send(port, { client: "viewer", path: count, agent: pool, headers: { "x-request-id": id } }),
        { concurrency: 8, discard: true }
      )
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0)
      const logged = lines(instance.output()).map((line) => /"requestId":"([^"]+)"/.exec(line)?.[1])
      assert.sameMembers(logged, ids)
    })
  )

  it.live("has only errors with REQUEST_LOG=errors", () =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, REQUEST_LOG: "errors" })
      const port = yield* instance.port
      yield* instance.printed('"Ready"')
      yield* send(port, { client: "viewer", path: count })
      yield* send(port, { client: "viewer", path: "/nope?password=s3cret" })
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0)
      const [line, ...others] = lines(instance.output())
      assert.lengthOf(others, 0)
      assert.include(line, '"path":"/nope"')
      assert.notInclude(instance.output(), "s3cret")
    })
  )

  it.live("is readable text with LOG_FORMAT=pretty", () =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, LOG_FORMAT: "pretty", REQUEST_LOG: "all" })
      const port = Number(
        yield* Effect.map(instance.printed("port:"), () => /port:\D*([0-9]{4,5})/.exec(instance.output())?.[1])
      )
      yield* instance.printed("Ready")
      yield* send(port, { client: "viewer", path: count })
      yield* instance.printed(`INFO GET ${count} 200 `)
    })
  )
})
