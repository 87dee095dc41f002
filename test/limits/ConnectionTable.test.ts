import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { type Connection, type Full, make } from "../../src/limits/ConnectionTable.ts"

const index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))
const count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 24 }))

const Step = Schema.Union([
  Schema.TaggedStruct("connect", { address: Schema.Literals(["a", "b", "c", "d"]), count }),
  Schema.TaggedStruct("greet", { index, count }),
  Schema.TaggedStruct("secure", { index, count, user: Schema.Literals(["none", "ann", "ben", "cat"]) }),
  Schema.TaggedStruct("received", { index }),
  Schema.TaggedStruct("answered", { index }),
  Schema.TaggedStruct("close", { index })
])

/** A connection of the model. `since` is the time of its last progress, `greeted` the truth behind `stage`. */
interface Known {
  readonly id: number
  readonly address: string
  stage: "silent" | "handshake" | "stranger" | "identified"
  greeted: boolean
  user: string | undefined
  unanswered: number
  since: number
}

const oldestOf = (known: ReadonlyArray<Known>, holds: (one: Known) => boolean): Known | undefined =>
  known.filter(holds).toSorted((a, b) => a.since - b.since)[0]

const isSilent = ({ stage }: Known) => stage === "silent"
const isHandshake = ({ stage }: Known) => stage === "handshake"
const isIdentified = ({ stage }: Known) => stage === "identified"
const isIdle = (stage: Known["stage"]) => (one: Known) => one.stage === stage && one.unanswered === 0

/** The connection to evict of a full group: the least valuable, then the oldest. */
const victimAmong = (known: ReadonlyArray<Known>, maximum: number): Known | undefined => {
  const guaranteed = Math.ceil(maximum / 16)
  if (known.filter(isSilent).length > guaranteed) return oldestOf(known, isSilent)
  if (known.filter(isHandshake).length > guaranteed) return oldestOf(known, isHandshake)
  return (
    oldestOf(known, isIdle("stranger")) ??
    oldestOf(known, ({ stage }) => stage === "stranger") ??
    oldestOf(known, isSilent) ??
    oldestOf(known, isHandshake) ??
    oldestOf(known, isIdle("identified"))
  )
}

const limits = { maxConnections: 48, maxConnectionsPerAddress: 32, maxConnectionsPerUser: 12 }
const identifiedOf = (maximum: number) => maximum - Math.floor(maximum / 8)

describe("ConnectionTable", () => {
  it.prop(
    "keeps and evicts the same connections as a naive model, for any sequence of events",
    [Schema.Array(Step)],
    ([steps]) => {
      let clock = 0
      let model: Array<Known> = []
      const evicted: Array<readonly [number, Full]> = []
      const expectedEvicted: Array<readonly [number, Full]> = []
      const connections = new Map<number, Connection<Known>>()
      const table = make<Known>(
        limits,
        ({ greeted }) => greeted,
        (connection, reason) => {
          expect(connection.open).toBe(false)
          expect(connection.stage === "identified" && connection.unanswered > 0).toBe(false)
          evicted.push([connection.socket.id, reason])
        },
        () => clock++
      )
      const evict = (victim: Known | undefined, reason: Full): boolean => {
        if (victim === undefined) return false
        model = model.filter((one) => one !== victim)
        expectedEvicted.push([victim.id, reason])
        return true
      }
      const room = (holds: (one: Known) => boolean, maximum: number, reason: Full): boolean => {
        const among = model.filter(holds)
        if (among.length < maximum) return true
        for (let one = oldestOf(among, isSilent); one?.greeted === true; one = oldestOf(among, isSilent)) {
          one.stage = "handshake"
          one.since = clock++
        }
        return evict(victimAmong(among, maximum), reason)
      }
      const identifiedRoom = (holds: (one: Known) => boolean, maximum: number, reason: Full): boolean => {
        const among = model.filter((one) => isIdentified(one) && holds(one))
        return among.length < maximum || evict(oldestOf(among, isIdle("identified")), reason)
      }
      const connect = (address: string) => {
        const expected = !room((one) => one.address === address, limits.maxConnectionsPerAddress, "address")
          ? "address"
          : !room(() => true, limits.maxConnections, "total")
            ? "total"
            : undefined
        const known: Known = {
          id: clock,
          address,
          stage: "silent",
          greeted: false,
          user: undefined,
          unanswered: 0,
          since: clock
        }
        const outcome = table.admit(known, address)
        expect(typeof outcome === "string" ? outcome : undefined).toBe(expected)
        if (typeof outcome === "string") return
        known.since = outcome.since
        connections.set(known.id, outcome)
        model.push(known)
      }
      const secure = (known: Known, connection: Connection<Known>, user: string | undefined) => {
        const expected =
          user === undefined
            ? undefined
            : !identifiedRoom((one) => one.user === user, limits.maxConnectionsPerUser, "user")
              ? "user"
              : !identifiedRoom(
                    (one) => one.address === known.address,
                    identifiedOf(limits.maxConnectionsPerAddress),
                    "address"
                  )
                ? "address"
                : !identifiedRoom(() => true, identifiedOf(limits.maxConnections), "total")
                  ? "total"
                  : undefined
        expect(table.secure(connection, user)).toBe(expected)
        if (expected !== undefined) {
          table.remove(connection)
          model = model.filter((one) => one !== known)
          return
        }
        known.user = user
        known.greeted = true
        known.stage = user === undefined ? "stranger" : "identified"
        known.since = connection.since
      }
      for (const step of steps) {
        if (step._tag === "connect") {
          for (let made = 0; made < step.count; made++) connect(step.address)
        } else {
          const first = step.index % Math.max(1, model.length)
          for (const known of model.slice(first, first + ("count" in step ? step.count : 1))) {
            const connection = connections.get(known.id)
            if (connection?.open !== true) continue
            const isSecured = known.stage === "stranger" || known.stage === "identified"
            switch (step._tag) {
              case "greet":
                known.greeted = true
                break
              case "secure":
                if (!isSecured) secure(known, connection, step.user === "none" ? undefined : step.user)
                break
              case "received":
                if (!isSecured) break
                table.received(connection)
                known.unanswered++
                known.since = connection.since
                break
              case "answered":
                if (known.unanswered === 0) break
                table.answered(connection)
                known.unanswered--
                known.since = connection.since
                break
              case "close":
                expect(table.remove(connection)).toBe(true)
                expect(table.remove(connection)).toBe(false)
                model = model.filter((one) => one !== known)
            }
          }
        }
        expect(evicted).toEqual(expectedEvicted)
        expect(table.count()).toBe(model.length)
        expect(table.addresses()).toBe(new Set(model.map(({ address }) => address)).size)
        expect(table.oldest("strangers")?.socket.id).toBe(oldestOf(model, isIdle("stranger"))?.id)
        expect(table.oldest("identified")?.socket.id).toBe(oldestOf(model, isIdle("identified"))?.id)
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
