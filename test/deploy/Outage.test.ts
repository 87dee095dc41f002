import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Schedule, type Scope } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import { freePort } from "../support/Ports.ts"
import { install } from "./Prometheus.ts"
import { type Prometheus, start } from "./RunningPrometheus.ts"
import * as Scene from "./Scene.ts"

beforeAll(install, 300_000)

/** Records the states of each alert in their order. Polls several times a second. */
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

describe("alerts of a real Prometheus", () => {
  it.live("are pending and then firing in outages of the cluster and of the instance, and clear after them", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const [port, metricsPort] = yield* Effect.all([freePort, freePort])
      let instance = yield* Scene.instance(kube.url, port)
      yield* Scene.probe(port, metricsPort, { PROBE_CANARY: "personal/canary" })
      const prometheus = yield* start({ instances: [`localhost:${port}`], probes: [`localhost:${metricsPort}`] })
      yield* Scene.load(port)
      const states = yield* watched(prometheus)
      const wentThrough = (...names: ReadonlyArray<string>) =>
        eventually(
          () => names.map((name) => states.get(name)?.join()),
          (each) => each.every((states) => states === "pending,firing")
        )
      yield* eventually(
        prometheus.query('job:http_requests:rate5m > 0 and on () synthetic_query_success{step="read_back"} == 1'),
        ({ length }) => length > 0
      )
      yield* eventually(firing(prometheus), ({ length }) => length === 0)

      yield* kube.faults.unavailable(true)
      const ofTheCluster = [
        "KubeResourceApiErrorRate",
        "KubeResourceApiInaccessible",
        "KubeResourceApiInformerDisconnected",
        "KubeResourceApiStaleCache"
      ]
      yield* eventually(firing(prometheus), includes(...ofTheCluster), 90_000)
      yield* wentThrough(...ofTheCluster)
      const told = (yield* prometheus.alerts).find(
        ({ labels }) => labels["alertname"] === "KubeResourceApiInaccessible"
      )
      assert.strictEqual(told?.annotations["summary"], "The synthetic query fails at the step set_replica_count.")
      const read = yield* send(port, { client: "viewer", path: "/namespaces" })
      assert.strictEqual(read.status, 200)
      yield* kube.faults.unavailable(false)
      yield* eventually(firing(prometheus), ({ length }) => length === 0, 90_000)

      states.clear()
      const ofTheInstance = ["KubeResourceApiDown", "KubeResourceApiInaccessible"]
      instance.child.kill("SIGKILL")
      yield* eventually(firing(prometheus), includes(...ofTheInstance), 90_000)
      yield* wentThrough(...ofTheInstance)
      instance = yield* Scene.instance(kube.url, port)
      yield* eventually(firing(prometheus), (alerts) => ofTheInstance.every((name) => !alerts.includes(name)), 90_000)

      // Each new process lives long enough to be scraped once.
      for (let crash = 0; crash < 5; crash++) {
        const before = (yield* prometheus.query('process_start_time_seconds{job="kube-resource-api"}'))[0]?.value
        instance.child.kill("SIGKILL")
        yield* instance.exited
        instance = yield* Scene.instance(kube.url, port)
        yield* eventually(
          prometheus.query('process_start_time_seconds{job="kube-resource-api"}'),
          ([sample]) => sample !== undefined && sample.value !== before
        )
      }
      yield* eventually(firing(prometheus), includes("KubeResourceApiInstanceTurnover"), 60_000)
      yield* eventually(firing(prometheus), ({ length }) => length === 0, 120_000)
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
