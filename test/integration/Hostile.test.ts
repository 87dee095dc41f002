import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { attack, type Reads, steadyReads } from "../support/Attack.ts"
import { tlsConnection } from "../support/Sockets.ts"
import { demoSettings, start } from "../support/Process.ts"

/** The last tally that an attacker prints. */
const Tallies = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ opened: Schema.Number, answers: Schema.Number }))
)

const expectAll = ({ asked, millis, failures }: Reads) => {
  assert.deepStrictEqual(failures, [])
  assert.strictEqual(millis.length, asked)
}

describe("under attack by dribbling connections and flooding clients without a certificate", () => {
  for (const [name, sources, attempts] of [
    ["from many addresses", 50, 1],
    // Until its handshake is done, a new connection counts as one of the flood and may be closed: the client tries again.
    ["from the client's own address only", 1, 3]
  ] as const) {
    it.live(`all reads of an identified client succeed: ${name}`, () =>
      Effect.gen(function* () {
        // Far more attackers than MAX_CONNECTIONS.
        const service = yield* start({
          ...demoSettings,
          MAX_CONNECTIONS: "300",
          MAX_CONNECTIONS_PER_ADDRESS: "200",
          TLS_HANDSHAKE_TIMEOUT: "1s",
          HEADERS_TIMEOUT: "2s"
        })
        const port = yield* service.port
        yield* service.printed("Ready")
        const attackers = yield* Effect.forEach(
          [
            { handshakes: 250, headers: 250, sources },
            { flooders: 40, sources },
            { flooders: 10, pipelined: 500, sources }
          ],
          (one) => attack(port, one)
        )
        for (const { printed } of attackers) yield* printed("\n")
        const [kept, fresh] = yield* Effect.all(
          [
            steadyReads(port, { perSecond: 50, count: 300, keptAlive: true }),
            steadyReads(port, { perSecond: 10, count: 60, keptAlive: false, attempts })
          ],
          { concurrency: "unbounded" }
        )
        expectAll(kept)
        expectAll(fresh)
        const tallies = attackers.map(({ output }) => Tallies(output().trimEnd().split("\n").at(-1) ?? ""))
        assert.isAbove(
          tallies.reduce((sum, { opened }) => sum + opened, 0),
          300
        )
        assert.isAbove(
          tallies.reduce((sum, { answers }) => sum + answers, 0),
          100
        )
      })
    )
  }
})

describe("under a flood of new connections that send nothing", () => {
  for (const [name, sources] of [
    ["from many addresses", 50],
    ["from the client's own address only", 1]
  ] as const) {
    it.live(`new clients get through although one user has all the connections it may have: ${name}`, () =>
      Effect.gen(function* () {
        const service = yield* start({
          ...demoSettings,
          MAX_CONNECTIONS: "96",
          MAX_CONNECTIONS_PER_ADDRESS: "96"
        })
        const port = yield* service.port
        yield* service.printed("Ready")
        // More idle connections of one user than there are places.
        const idle = yield* Effect.forEach(Array.from({ length: 100 }), () => tlsConnection({ port }, "admin"))
        const attacker = yield* attack(port, { bare: 600, sources })
        // The service is full of the attacker's connections once the attacker has printed its first tally.
        yield* attacker.printed("\n")
        expectAll(yield* steadyReads(port, { perSecond: 50, count: 250, keptAlive: false }))
        assert.isAtLeast(idle.filter(({ destroyed }) => !destroyed).length, 40)
      })
    )
  }
})
