import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { dashboard } from "../../scripts/dashboard.ts"
import { demoAccess } from "../../src/embedded/Access.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import { freePort, listening } from "../support/Ports.ts"
import * as RedisServer from "../support/RedisServer.ts"
import { install, promtool } from "./Prometheus.ts"
import { start } from "./RunningPrometheus.ts"
import * as Scene from "./Scene.ts"

beforeAll(install, 300_000)

const Dashboard = Schema.fromJsonString(
  Schema.Struct({
    panels: Schema.Array(
      Schema.Struct({
        type: Schema.String,
        title: Schema.String,
        targets: Schema.optional(Schema.Array(Schema.Struct({ expr: Schema.String })))
      })
    )
  })
)

const path = new URL("../../deploy/grafana/kube-resource-api.json", import.meta.url)

/** A server in place of kube-state-metrics: the test has no pods. */
const kubeStateMetrics = Effect.gen(function* () {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/plain; version=0.0.4")
    for (const pod of ["kube-resource-api-1", "kube-resource-api-watcher-1"]) {
      response.write(`kube_pod_status_ready{condition="true",pod="${pod}"} 1\n`)
    }
    response.end()
  })
  return `localhost:${yield* listening(server)}`
})

describe("the dashboard", () => {
  it("is the output of scripts/dashboard.ts", () =>
    assert.deepStrictEqual(JSON.parse(readFileSync(path, "utf8")), JSON.parse(JSON.stringify(dashboard()))))

  it("has the rows", () => {
    const { panels } = Schema.decodeUnknownSync(Dashboard)(readFileSync(path, "utf8"))
    assert.deepStrictEqual(
      panels.filter(({ type }) => type === "row").map(({ title }) => title),
      [
        "Traffic",
        "Errors",
        "Latency",
        "Saturation",
        "Consumers",
        "Cache and informer",
        "Shared cache",
        "Security",
        "Adoption",
        "Instances"
      ]
    )
  })

  it.live("has data in every panel with a real Prometheus that scrapes instances under load", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const [byPolicy, byCluster, sharing, metricsPort] = yield* Effect.all([freePort, freePort, freePort, freePort])
      const files = Scene.ownFiles()
      yield* Scene.instance(kube.url, byPolicy, { ...files, RATE_LIMIT_UNIDENTIFIED: "1", RATE_LIMIT_BURST: "5" })
      yield* Scene.instance(kube.url, byCluster, { AUTHORIZATION: "kubernetes", POLICY_FILE: "" })
      const redis = yield* RedisServer.started()
      yield* Scene.instance(kube.url, sharing, {
        CACHE: "redis",
        REDIS_URL: Redacted.value(redis.url),
        WATCHER_LEASE: "1s"
      })
      yield* Scene.probe(byPolicy, metricsPort)
      const prometheus = yield* start({
        instances: [`localhost:${byPolicy}`, `localhost:${byCluster}`, `localhost:${sharing}`],
        probes: [`localhost:${metricsPort}`],
        others: [yield* kubeStateMetrics]
      })
      yield* Scene.load(byPolicy)
      yield* Scene.load(byCluster)
      yield* eventually(prometheus.query('up{job="kube-resource-api"} == 1'), ({ length }) => length === 3)
      // Some panels need changed files and errors of the cluster.
      writeFileSync(files.POLICY_FILE, `${readFileSync(files.POLICY_FILE, "utf8")}\n# again\n`)
      writeFileSync(files.TLS_CLIENT_CA_FILE, `${readFileSync(files.TLS_CLIENT_CA_FILE, "utf8")}\n`)
      yield* kube.faults.failNext(20, { status: 500, on: "any" })
      yield* kube.faults.dropWatches()

      const { panels } = Schema.decodeUnknownSync(Dashboard)(readFileSync(path, "utf8"))
      const queries = panels.flatMap(({ targets, title }) => (targets ?? []).map(({ expr }) => ({ title, expr })))
      assert.isAbove(queries.length, 40)
      for (const { expr, title } of queries) {
        const query = expr.replaceAll("$instance", ".*").replaceAll("$__rate_interval", "60s")
        const samples = yield* eventually(
          prometheus.query(query),
          (found) =>
            assert.isTrue(
              found.some(({ value }) => Number.isFinite(value)),
              `${title}: ${query}`
            ),
          40_000
        )
        assert.isNotEmpty(samples)
      }
      const documented = readFileSync(new URL("../../docs/observability.md", import.meta.url), "utf8")
      for (const page of [
        (yield* send(byPolicy, { client: "admin", path: "/metrics" })).body,
        (yield* send(byCluster, { client: "admin", path: "/metrics" })).body
      ]) {
        const { output, status } = promtool(["check", "metrics"], page)
        assert.strictEqual(status, 0, output)
        for (const [, name] of page.matchAll(/^# TYPE (\w+) /gm)) assert.include(documented, `\`${name}\``)
      }
    }).pipe(Effect.provide(EmbeddedKube.layer({ seed: demoSeed, tokens: [Scene.token], decideAccess: demoAccess })))
  )
})
