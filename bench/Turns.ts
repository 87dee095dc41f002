/** Servers that take turns under the same load, so that what else the machine does meets them alike. */
import { Effect } from "effect"
import { start } from "../test/integration/Process.ts"
import { connections, cpuMicros, load, median } from "./ReadLoad.ts"

/** One of the servers: a program and its settings. */
export interface Contender {
  readonly name: string
  readonly program: string
  readonly settings: Readonly<Record<string, string>>
}

/** What one server took in each round, in CPU microseconds for each request. */
export interface Measured {
  readonly name: string
  readonly pid: number
  readonly micros: ReadonlyArray<number>
}

/** `rounds` rounds in which each server answers `requests` reads, after a warm-up. The servers live as long as the scope. */
export const takeTurns = Effect.fnUntraced(function* (
  contenders: ReadonlyArray<Contender>,
  { requests, rounds }: { readonly requests: number; readonly rounds: number }
) {
  const measured = []
  for (const { name, program, settings } of contenders) {
    const instance = yield* start(settings, program)
    const port = yield* instance.port
    yield* load(port, 5 * requests)
    measured.push({ name, port, pid: instance.child.pid ?? 0, micros: new Array<number>() })
  }
  for (let round = 0; round < rounds; round++) {
    for (const { micros, pid, port } of measured) {
      const before = cpuMicros(pid)
      yield* load(port, requests)
      micros.push((cpuMicros(pid) - before) / requests)
    }
  }
  return measured satisfies ReadonlyArray<Measured>
})

/** The median over the rounds of what `a` took against `b`, in the same round; `extra` microseconds are added to `a`. */
export const ratio = (a: Measured | undefined, b: Measured | undefined, extra = 0): number =>
  median((a?.micros ?? []).map((micros, round) => (micros + extra) / (b?.micros[round] ?? 0)))

/** A line for each server. */
export const table = (measured: ReadonlyArray<Measured>, requests: number): string =>
  [
    `${requests} GETs a round, ${measured[0]?.micros.length ?? 0} rounds, ${connections} connections; CPU us/request (min..max)`,
    ...measured.map(
      ({ micros, name }) =>
        `${name.padEnd(34)} ${median(micros).toFixed(1)} (${Math.min(...micros).toFixed(1)}..${Math.max(...micros).toFixed(1)})`
    )
  ].join("\n")
