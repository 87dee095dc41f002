import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually } from "../support/Eventually.ts"
import { agent, send } from "../support/Https.ts"
import { demoSettings, start } from "../support/Process.ts"

const count = (text: string) => text.split("\n").filter((line) => line.includes('"outcome":"accepted"')).length

describe("a service whose log is not read", () => {
  it.live("accepts no write that it could not record, and loses no record of an accepted one", () =>
    Effect.gen(function* () {
      const {
        child,
        output,
        port: found
      } = yield* start({
        ...demoSettings,
        LOG_FORMAT: "json",
        REQUEST_LOG: "off",
        RATE_LIMIT_WRITES: "0"
      })
      const port = yield* found
      const pool = yield* agent("admin", 16)
      const put = (replicas: number) =>
        send(port, {
          client: "admin",
          method: "PUT",
          path: `/namespaces/personal/deployments/nginx/replica_count/${replicas}`,
          agent: pool
        })
      yield* eventually(put(1), ({ status }) => status === 200)
      child.stdout?.pause()
      let accepted = 1
      let refusal = ""
      while (refusal === "") {
        const answers = yield* Effect.forEach(Array.from({ length: 64 }), (_, at) => put(at), { concurrency: 16 })
        accepted += answers.filter(({ status }) => status === 200).length
        refusal = answers.find(({ status }) => status !== 200)?.body ?? ""
      }
      assert.include(refusal, "audit log cannot record")
      const read = "/namespaces/personal/deployments/nginx/replica_count"
      assert.strictEqual((yield* send(port, { client: "admin", path: read, agent: pool })).status, 200)
      child.stdout?.resume()
      yield* eventually(put(2), ({ status }) => status === 200)
      accepted++
      yield* eventually(
        () => count(output()),
        (records) => records >= accepted
      )
      assert.strictEqual(count(output()), accepted)
    })
  )
})
