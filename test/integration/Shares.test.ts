import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { authority } from "../support/Authority.ts"
import { service } from "../support/ChangingTls.ts"
import { untilMeasured } from "../support/Measured.ts"
import { ask } from "../support/Sockets.ts"

const read = "/namespaces/personal/deployments/nginx/replica_count"
const write = "PUT /namespaces/personal/deployments/nginx/replica_count/5 HTTP/1.1\r\nHost: x\r\n\r\n"

describe("in-flight shares", () => {
  it.live("two certificates of one user have one share, whatever else their subjects contain", () =>
    Effect.gen(function* () {
      const root = yield* authority("client authority")
      const [first, second, other] = yield* Effect.all([
        root.issue({ subject: "/O=team-a/CN=alice" }),
        root.issue({ subject: "/O=team-b/OU=elsewhere/CN=alice" }),
        root.issue({ subject: "/O=team-a/CN=bob" })
      ])
      const { connect, kube } = yield* service({ ca: root.cert }, { maxInFlight: 4 })
      yield* kube.faults.hang(true)
      const [a, b] = [yield* connect(first), yield* connect(second)]
      for (const socket of [a, b]) socket.write(write)
      yield* untilMeasured("requests_in_flight", 2)
      for (const certificate of [first, second]) {
        assert.strictEqual((yield* ask(yield* connect(certificate), read)).status, 503)
      }
      assert.strictEqual((yield* ask(yield* connect(other), read)).status, 200)
      yield* kube.faults.hang(false)
    })
  )
})
