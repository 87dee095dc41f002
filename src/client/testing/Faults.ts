/** Faults that a test injects: each applies to the next requests of all endpoints or of one. */
import { type Duration, Effect, Ref } from "effect"
import type { Problem } from "../../contract/Problems.ts"
import type { EndpointName } from "./Routes.ts"

/** The requests that a fault applies to: by default the next request of any endpoint. */
export interface FaultOptions {
  readonly times?: number
  readonly endpoint?: EndpointName
}

/** The effect of a fault on a request. */
export type Fault =
  | { readonly _tag: "Delayed"; readonly duration: Duration.Input }
  | { readonly _tag: "Refused"; readonly problem: Problem }
  | { readonly _tag: "Disconnected" }

interface Ordered {
  readonly fault: Fault
  readonly endpoint: EndpointName | undefined
  readonly left: number
}

/** The pending faults. */
export const make = Effect.map(Ref.make<ReadonlyArray<Ordered>>([]), (ordered) => ({
  order: (fault: Fault, { endpoint, times = 1 }: FaultOptions = {}): Effect.Effect<void> =>
    Ref.update(ordered, (all) => [...all, { fault, endpoint, left: times }]),
  /** Takes the faults of a request: the delays that apply to it, up to and including the first other fault. */
  take: (endpoint: EndpointName | undefined): Effect.Effect<ReadonlyArray<Fault>> =>
    Ref.modify(ordered, (all) => {
      const taken: Array<Fault> = []
      const rest = all.flatMap((one): ReadonlyArray<Ordered> => {
        const applies = one.endpoint === undefined || one.endpoint === endpoint
        if (!applies || taken.some(({ _tag }) => _tag !== "Delayed")) return [one]
        taken.push(one.fault)
        return one.left > 1 ? [{ ...one, left: one.left - 1 }] : []
      })
      return [taken, rest]
    })
}))
