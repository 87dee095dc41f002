import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { eventually } from "../support/Eventually.ts"
import { agent, send } from "../support/Https.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { bundled, demoSettings, type Instance, start } from "../support/Process.ts"
import * as TcpBalancer from "../support/TcpBalancer.ts"

const path = "/namespaces/personal/deployments/nginx/replica_count"

describe("rolling update", () => {
  it.live("no request fails while three instances behind a TCP balancer are replaced one by one", () =>
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
            DRAIN_PERIOD: "1s"
          },
          program
        )
        const port = yield* instance.port
        yield* balancer.add(port)
        return { instance, port }
      })
      let answered = 0
      /** Waits for `count` more responses. */
      const more = (count: number) =>
        Effect.suspend(() => {
          const enough = answered + count
          return eventually(
            () => answered,
            (now) => now >= enough
          )
        })
      const replace = (old: { readonly instance: Instance; readonly port: number }) =>
        Effect.gen(function* () {
          const next = yield* launch
          yield* more(100)
          old.instance.child.kill("SIGTERM")
          assert.strictEqual(yield* old.instance.exited, 0)
          balancer.remove(old.port)
          return next
        })

      const failures: Array<string> = []
      // A client keeps its connections alive for forty requests, and then opens new ones.
      const client = (number: number) =>
        Effect.gen(function* () {
          const pool = yield* agent("admin", 2)
          for (let nth = 0; nth < 40; nth++) {
            const method = (nth + number) % 10 === 0 ? "PUT" : "GET"
            const request = {
              client: "admin",
              method,
              path: method === "PUT" ? `${path}/${nth}` : path,
              agent: pool
            } as const
            yield* send(balancer.port, request).pipe(
              Effect.match({
                onFailure: (error) => void failures.push(`${method}: ${error.message}`),
                onSuccess: ({ body, status }) =>
                  void (status === 200 ? answered++ : failures.push(`${method}: ${status} ${body}`))
              })
            )
            yield* Effect.sleep(5)
          }
        }).pipe(Effect.scoped, Effect.forever)

      const olds = yield* Effect.all([launch, launch, launch])
      const load = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 8 }, (_, number) => client(number)),
          { concurrency: "unbounded" }
        )
      )
      const news = []
      for (const old of olds) news.push(yield* replace(old))
      yield* more(100)
      yield* Fiber.interrupt(load)
      assert.deepStrictEqual(failures, [])
      for (const { port } of [...olds, ...news]) assert.isAbove(balancer.given.get(port) ?? 0, 0)
    }).pipe(Effect.provide(EmbeddedKube.layer({ seed: demoSeed, tokens: ["test"] })))
  )
})
