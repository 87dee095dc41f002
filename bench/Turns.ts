import { Effect } from "effect"

/**
 * Runs `measure` for each contender in turn, `rounds` times, and returns the results of each. Taking turns spreads the other
 * load of the machine over all contenders.
 */
export const takeTurns = Effect.fnUntraced(function* <C, A, E, R>(
  contenders: ReadonlyArray<C>,
  rounds: number,
  measure: (contender: C) => Effect.Effect<A, E, R>
) {
  const turns = contenders.map((contender) => ({ contender, results: new Array<A>() }))
  for (let round = 0; round < rounds; round++) {
    // The order alternates.
    for (const { contender, results } of round % 2 === 0 ? turns : turns.toReversed()) {
      results.push(yield* measure(contender))
    }
  }
  return turns
})
