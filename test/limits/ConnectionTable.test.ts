import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { type Connection, type Full, make } from "../../src/limits/ConnectionTable.ts"

const index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 }))

const Step = Schema.Union([
  Schema.TaggedStruct("connect", { address: Schema.Literals(["a", "b", "c", "d"]) }),
  Schema.TaggedStruct("identify", { index }),
  Schema.TaggedStruct("received", { index }),
  Schema.TaggedStruct("answered", { index }),
  Schema.TaggedStruct("close", { index })
])

/** A connection of the model. `since` is the step of its last progress. */
interface Known {
  readonly id: number
  readonly address: string
  identified: boolean
  unanswered: number
  since: number
}

/** The connection to evict: the least valuable, then the oldest. */
const victimAmong = (known: ReadonlyArray<Known>): Known | undefined => {
  const worth = ({ identified, unanswered }: Known) => (identified ? 2 : 0) + (unanswered > 0 ? 1 : 0)
  return known.filter((one) => worth(one) < 3).toSorted((a, b) => worth(a) - worth(b) || a.since - b.since)[0]
}

const maxConnections = 6
const maxConnectionsPerAddress = 4

describe("ConnectionTable", () => {
  it.prop(
    "keeps and evicts the same connections as a naive model, for any sequence of events",
    [Schema.Array(Step)],
    ([steps]) => {
      let clock = 0
      const evicted: Array<readonly [number, Full]> = []
      const table = make<number>(
        { maxConnections, maxConnectionsPerAddress },
        (connection, reason) => {
          expect(connection.open).toBe(false)
          expect(connection.identified && connection.unanswered > 0).toBe(false)
          evicted.push([connection.socket, reason])
        },
        () => clock
      )
      const connections = new Map<number, Connection<number>>()
      let model: Array<Known> = []
      let expectedEvicted: Array<readonly [number, Full]> = []
      const room = (among: ReadonlyArray<Known>, maximum: number, reason: Full): boolean => {
        if (among.length < maximum) return true
        const victim = victimAmong(among)
        if (victim === undefined) return false
        model = model.filter((one) => one !== victim)
        expectedEvicted.push([victim.id, reason])
        return true
      }
      for (const step of steps) {
        clock++
        if (step._tag === "connect") {
          const expected = !room(
            model.filter(({ address }) => address === step.address),
            maxConnectionsPerAddress,
            "address"
          )
            ? "address"
            : !room(model, maxConnections, "total")
              ? "total"
              : undefined
          const outcome = table.admit(clock, step.address)
          if (typeof outcome === "string") {
            expect(outcome).toBe(expected)
          } else {
            expect(expected).toBeUndefined()
            connections.set(clock, outcome)
            model.push({ id: clock, address: step.address, identified: false, unanswered: 0, since: clock })
          }
        } else {
          const known = model[step.index % Math.max(1, model.length)]
          const connection = known === undefined ? undefined : connections.get(known.id)
          if (known === undefined || connection === undefined) continue
          switch (step._tag) {
            case "identify":
              table.identify(connection)
              known.identified = true
              known.since = clock
              break
            case "received":
              table.received(connection)
              if (known.unanswered === 0) known.since = clock
              known.unanswered++
              break
            case "answered":
              if (known.unanswered === 0) continue
              table.answered(connection)
              known.unanswered--
              known.since = clock
              break
            case "close":
              expect(table.remove(connection)).toBe(true)
              expect(table.remove(connection)).toBe(false)
              model = model.filter((one) => one !== known)
          }
        }
        expect(evicted).toEqual(expectedEvicted)
        expect(table.count()).toBe(model.length)
        expect(table.addresses()).toBe(new Set(model.map(({ address }) => address)).size)
        const idle = model.filter(({ identified, unanswered }) => !identified && unanswered === 0)
        expect(table.oldest("strangers")?.socket).toBe(idle.toSorted((a, b) => a.since - b.since)[0]?.id)
      }
      for (const { id } of model) {
        const connection = connections.get(id)
        if (connection !== undefined) table.remove(connection)
      }
      expect(table.count()).toBe(0)
      expect(table.addresses()).toBe(0)
    },
    { arbitrary: { runs: 500, size: 120 } }
  )
})
