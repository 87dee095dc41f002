import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { DeploymentName, layerMutualTls, make, NamespaceName, ReplicaCount } from "../../src/client/Client.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { agent, send } from "../support/Https.ts"
import { eventually } from "../support/Eventually.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { file } from "../support/Pki.ts"
import { bundled, demoSettings, type Instance, start } from "../support/Process.ts"
import * as TcpBalancer from "../support/TcpBalancer.ts"

const namespace = NamespaceName.make("personal")
const nginx = { params: { namespace, deployment: DeploymentName.make("nginx") } }
const streams = 500

const mutualTls = (client: "admin" | "viewer") =>
  layerMutualTls({
    ca: readFileSync(file("ca.crt"), "utf8"),
    cert: readFileSync(file(`${client}.crt`), "utf8"),
    key: readFileSync(file(`${client}.key`), "utf8")
  })

describe("rolling update", () => {
  it.live(
    "while three instances behind a TCP balancer are replaced one by one, no request fails, and 500 streams see every last count and never an older one",
    () =>
      Effect.gen(function* () {
        const program = join(yield* bundled, "main.js")
        const kube = yield* EmbeddedKube
        const balancer = yield* TcpBalancer.make
        const launch = Effect.gen(function* () {
          const instance = yield* start(
            {
              ...demoSettings,
              KUBE_SOURCE: "kubeconfig",
              KUBECONFIG: kubeconfig(kube.url, { token: "test" }),
              DRAIN_PERIOD: "2s",
              REQUEST_LOG: "off",
              MAX_STREAMS: "2000",
              MAX_WAITERS: "2000"
            },
            program
          )
          const port = yield* instance.port
          yield* balancer.add(port)
          return { instance, port }
        })
        const replace = (old: { readonly instance: Instance; readonly port: number }) =>
          Effect.gen(function* () {
            const next = yield* launch
            old.instance.child.kill("SIGTERM")
            assert.strictEqual(yield* old.instance.exited, 0)
            balancer.remove(old.port)
            return next
          })

        const olds = yield* Effect.all([launch, launch, launch])
        const url = `https://127.0.0.1:${balancer.port}`
        const connected = (client: "admin" | "viewer") =>
          Effect.flatMap(Layer.build(mutualTls(client)), (services) => Effect.provide(make(url), services))
        const reader = yield* connected("viewer")
        const writer = yield* connected("admin")

        /** The counts that each consumer has seen: one of the count itself, or of the whole namespace. */
        const seen: Array<Array<number>> = Array.from({ length: streams }, () => [])
        const consumer = (index: number) => {
          const counts: Stream.Stream<number | undefined, unknown> =
            index % 10 === 0
              ? reader
                  .watchReplicaCounts({ params: { namespace } })
                  .pipe(
                    Stream.map(
                      ({ deployments }) => deployments.find(({ deployment }) => deployment === "nginx")?.replica_count
                    )
                  )
              : reader.watchReplicaCount(nginx).pipe(Stream.map(({ replica_count }) => replica_count))
          return Stream.runForEach(counts, (count) =>
            Effect.sync(() => {
              if (count !== undefined) seen[index]?.push(count)
            })
          )
        }
        const consumers = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: streams }, (_, index) => index),
            consumer,
            { concurrency: "unbounded" }
          )
        )
        yield* eventually(
          () => seen.filter(({ length }) => length > 0).length,
          (count) => count === streams,
          60_000
        )

        let answered = 0
        const failures: Array<string> = []
        // Other clients keep their connections alive for forty requests, and then open new ones.
        const other = (number: number) =>
          Effect.gen(function* () {
            const pool = yield* agent("admin", 2)
            for (let nth = 0; nth < 40; nth++) {
              const method = (nth + number) % 10 === 0 ? "PUT" : "GET"
              const path = "/namespaces/kube-system/deployments/fred/replica_count"
              yield* send(balancer.port, {
                client: "admin",
                method,
                path: method === "PUT" ? `${path}/${nth}` : path,
                agent: pool
              }).pipe(
                Effect.match({
                  onFailure: (error) => void failures.push(`${method}: ${error.message}`),
                  onSuccess: ({ body, status }) =>
                    void (status === 200 ? answered++ : failures.push(`${method}: ${status} ${body}`))
                })
              )
              yield* Effect.sleep(20)
            }
          }).pipe(Effect.scoped, Effect.forever)
        const others = yield* Effect.forkChild(
          Effect.forEach([0, 1, 2, 3], other, { concurrency: "unbounded", discard: true })
        )

        // Counts only grow, so that a stream that goes back shows.
        let last = 100
        const writing = yield* Effect.forkChild(
          Effect.forever(
            Effect.gen(function* () {
              const next = last + 1
              const written = yield* Effect.exit(
                writer.setReplicaCount({
                  params: { ...nginx.params, replica_count: ReplicaCount.make(next) },
                  headers: {},
                  query: {}
                })
              )
              if (written._tag === "Success") last = next
              yield* Effect.sleep(300)
            })
          )
        )
        const news = []
        for (const old of olds) news.push(yield* replace(old))
        const enough = answered + 100
        yield* eventually(
          () => answered,
          (now) => now >= enough
        )
        yield* Fiber.interrupt(others)
        yield* Fiber.interrupt(writing)
        const final = last + 1
        yield* kube.cluster.scale("personal", "nginx", final)
        yield* eventually(
          () => seen.filter((counts) => counts.at(-1) === final).length,
          (count) => count === streams,
          60_000
        )
        yield* Fiber.interrupt(consumers)
        assert.deepStrictEqual(failures, [])

        const backwards = seen.filter((counts) => counts.some((count, at) => at > 0 && count < (counts[at - 1] ?? 0)))
        assert.deepStrictEqual(backwards, [])
        const repeated = seen.filter((counts) => new Set(counts).size !== counts.length)
        assert.deepStrictEqual(repeated, [])
        assert.isAbove(last, 105)
        for (const { port } of [...olds, ...news]) assert.isAbove(balancer.given.get(port) ?? 0, 0)
      }).pipe(Effect.provide(EmbeddedKube.layer({ seed: demoSeed, tokens: ["test"] }))),
    180_000
  )
})
