/** Contenders that take turns, so that what else the machine does meets them alike. */
import { Effect } from "effect"

/** Runs `measure` for each of `contenders` in turn, `rounds` times; gives the results of each, round by round. */
export const takeTurns = Effect.fnUntraced(function* <C, A, E, R>(
  contenders: ReadonlyArray<C>,
  rounds: number,
  measure: (contender: C) => Effect.Effect<A, E, R>
) {
  const turns = contenders.map((contender) => ({ contender, results: new Array<A>() }))
  for (let round = 0; round < rounds; round++) {
    // Whoever comes first in one round comes last in the next.
    for (const { contender, results } of round % 2 === 0 ? turns : turns.toReversed()) {
      results.push(yield* measure(contender))
    }
  }
  return turns
})
