import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { attack, type Reads, steadyReads } from "../support/Attack.ts"
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
