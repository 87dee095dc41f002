import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Schedule, type Scope } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { send } from "../support/Https.ts"
import { install } from "./Prometheus.ts"
import { type Prometheus, freePort, start, until } from "./RunningPrometheus.ts"
import * as Scene from "./Scene.ts"

beforeAll(install, 300_000)

/** Notes, many times a second, each state that each alert has been in, in the order in which it came to be. */
const watched = (prometheus: Prometheus): Effect.Effect<Map<string, Array<string>>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const seen = new Map<string, Array<string>>()
    yield* prometheus.alerts.pipe(
      Effect.map((alerts) => {
        for (const { labels, state } of alerts) {
          const name = labels["alertname"] ?? ""
          const states = seen.get(name) ?? []
          if (!states.includes(state)) seen.set(name, [...states, state])
        }
      }),
      Effect.ignore,
      Effect.repeat(Schedule.spaced("100 millis")),
      Effect.forkScoped
    )
    return seen
  })

const firing = (prometheus: Prometheus) =>
  Effect.map(prometheus.alerts, (alerts) =>
    [...new Set(alerts.flatMap(({ labels, state }) => (state === "firing" ? [labels["alertname"] ?? ""] : [])))].sort()
  )

const includes =
  (...names: ReadonlyArray<string>) =>
  (alerts: ReadonlyArray<string>) =>
    names.every((name) => alerts.includes(name))

describe("alerts in a real Prometheus that scrapes over mutual TLS", () => {
  it.live("go pending and firing in outages of the cluster and of the instance, and clear after them", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const [port, metricsPort] = yield* Effect.all([freePort, freePort])
      let instance = yield* Scene.instance(kube.url, port)
      yield* Scene.probe(port, metricsPort, { PROBE_CANARY: "personal/canary" })
      const prometheus = yield* start({ instances: [`localhost:${port}`], probes: [`localhost:${metricsPort}`] })
      yield* Scene.load(port)
      const states = yield* watched(prometheus)
      const wentThrough = (...names: ReadonlyArray<string>) =>
        until(
          "each was pending, and then fired",
          Effect.sync(() => names.map((name) => states.get(name)?.join())),
          (each) => each.every((states) => states === "pending,firing")
        )
      yield* until(
        "requests are counted and the canary is set",
        prometheus.query('job:http_requests:rate5m > 0 and on () synthetic_query_success{step="read_back"} == 1'),
        ({ length }) => length > 0
      )
      yield* until("all is well", firing(prometheus), ({ length }) => length === 0)

      yield* kube.faults.unavailable(true)
      const ofTheCluster = [
        "KubeResourceApiErrorRate",
        "KubeResourceApiInaccessible",
        "KubeResourceApiInformerDisconnected",
        "KubeResourceApiStaleCache"
      ]
      yield* until("the cluster's outage is told", firing(prometheus), includes(...ofTheCluster), "90 seconds")
      yield* wentThrough(...ofTheCluster)
      const told = (yield* prometheus.alerts).find(
        ({ labels }) => labels["alertname"] === "KubeResourceApiInaccessible"
      )
      assert.strictEqual(told?.annotations["summary"], "The synthetic query fails at the step set_replica_count.")
      const read = yield* send(port, { client: "viewer", path: "/namespaces" })
      assert.strictEqual(read.status, 200)
      yield* kube.faults.unavailable(false)
      yield* until("it is over", firing(prometheus), ({ length }) => length === 0, "90 seconds")

      states.clear()
      const ofTheInstance = ["KubeResourceApiDown", "KubeResourceApiInaccessible"]
      instance.child.kill("SIGKILL")
      yield* until("the instance's outage is told", firing(prometheus), includes(...ofTheInstance), "90 seconds")
      yield* wentThrough(...ofTheInstance)
      instance = yield* Scene.instance(kube.url, port)
      yield* until(
        "it is over",
        firing(prometheus),
        (alerts) => ofTheInstance.every((name) => !alerts.includes(name)),
        "90 seconds"
      )

      // Crash after crash, each long enough to be scraped once.
      for (let crash = 0; crash < 5; crash++) {
        const before = (yield* prometheus.query('process_start_time_seconds{job="kube-resource-api"}'))[0]?.value
        instance.child.kill("SIGKILL")
        yield* instance.exited
        instance = yield* Scene.instance(kube.url, port)
        yield* until(
          "the new process is scraped",
          prometheus.query('process_start_time_seconds{job="kube-resource-api"}'),
          ([sample]) => sample !== undefined && sample.value !== before
        )
      }
      yield* until("the turnover is told", firing(prometheus), includes("KubeResourceApiInstanceTurnover"))
      yield* until("it is over", firing(prometheus), ({ length }) => length === 0, "120 seconds")
    }).pipe(
      Effect.provide(
        EmbeddedKube.layer({
          seed: { personal: { canary: 1, nginx: 12 }, empty: {} },
          tokens: [Scene.token]
        })
      )
    )
  )
})
