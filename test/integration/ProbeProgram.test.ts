import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, readFileSync } from "node:fs"
import { get } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { eventually } from "../support/Eventually.ts"
import { clientSettings } from "../support/Pki.ts"
import { start } from "../support/Process.ts"
import { TestService } from "../support/TestService.ts"

const program = "src/probe/main.ts"

const settings = (port: number) => ({
  PROBE_URL: `https://localhost:${port}`,
  ...clientSettings("PROBE", "admin"),
  HOST: "127.0.0.1",
  METRICS_PORT: "0"
})

const page = (port: number) =>
  Effect.callback<string, Error>((resume) => {
    get({ host: "127.0.0.1", port, path: "/metrics" }, (response) => {
      let body = ""
      response.on("data", (chunk: Buffer) => (body += chunk.toString()))
      response.on("end", () => resume(Effect.succeed(body)))
    }).on("error", (error) => resume(Effect.fail(error)))
  })

describe("the probe program", () => {
  it.live("once: exits with 0 and writes a complete textfile", () =>
    Effect.gen(function* () {
      const { port } = yield* TestService
      const textfile = join(mkdtempSync(join(tmpdir(), "probe-")), "probe.prom")
      const probe = yield* start({ ...settings(port), PROBE_TEXTFILE: textfile }, program)
      assert.strictEqual(yield* probe.exited, 0)
      assert.include(probe.output(), "probe succeeded")
      assert.include(readFileSync(textfile, "utf8"), 'synthetic_query_success{step="get_replica_count"} 1\n')
    }).pipe(Effect.provide(TestService.layer()))
  )

  it.live("once: logs the failure and exits with 1 when the service is unreachable", () =>
    Effect.gen(function* () {
      const probe = yield* start(settings(1), program)
      assert.strictEqual(yield* probe.exited, 1)
      assert.include(probe.output(), "probe failed")
      assert.include(probe.output(), "ECONNREFUSED")
    })
  )

  it.live("loop: repeats the queries, serves the results at /metrics, and exits with 0 on SIGTERM", () =>
    Effect.gen(function* () {
      const { lifecycle, port } = yield* TestService
      const probe = yield* start({ ...settings(port), PROBE_MODE: "loop", PROBE_INTERVAL: "50ms" }, program)
      yield* probe.printed('"metricsPort"')
      const metricsPort = Number(/"metricsPort":([0-9]+)/.exec(probe.output())?.[1])
      yield* eventually(page(metricsPort), (text) => /synthetic_query_runs_total\{result="success"\} [2-9]/.test(text))
      yield* lifecycle.beginShutdown
      yield* eventually(page(metricsPort), (text) => text.includes('synthetic_query_success{step="readiness"} 0\n'))
      probe.child.kill("SIGTERM")
      assert.strictEqual(yield* probe.exited, 0)
    }).pipe(Effect.provide(TestService.layer()))
  )

  for (const [change, ...expected] of [
    [{ PROBE_URL: "nowhere" }, "PROBE_URL=nowhere", "an http or https URL"],
    [{ PROBE_KEY_FILE: "/nowhere.key" }, "PROBE_KEY_FILE=/nowhere.key", "cannot be read"],
    [{ PROBE_CERT_FILE: "" }, "PROBE_CERT_FILE (not set)", "PEM file"],
    [{ PROBE_CANARY: "Personal/nginx" }, "PROBE_CANARY=Personal/nginx", "separated by /"]
  ] as const) {
    it.live(`a startup error names the setting, the value and the fix: ${expected[0]}`, () =>
      Effect.gen(function* () {
        const probe = yield* start({ ...settings(1), ...change }, program)
        assert.strictEqual(yield* probe.exited, 1)
        for (const text of expected) assert.include(probe.output(), text)
      })
    )
  }
})
