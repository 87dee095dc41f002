import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as KeptAnswers from "../../src/authorization/KeptAnswers.ts"

const subjects = ["ann", "bob", "mallory"] as const
const numbers = [0, 1, 2, 3, 4, 5] as const

const Step = Schema.Struct({
  // Few are dropped, so that the cache is full most of the time.
  drop: Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7]),
  subject: Schema.Literals(subjects),
  number: Schema.Literals(numbers),
  until: Schema.Literals([10, 20])
})
type Step = typeof Step.Type

const Capacity = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 8 }))

interface Entry {
  readonly subject: string
  readonly question: string
  readonly until: number
}

const questionOf = (subject: string, number: number) => `${subject}/${number}`

/** The same rules over plain lists, oldest first. */
const naively = (capacity: number, entries: ReadonlyArray<Entry>, step: Step): ReadonlyArray<Entry> => {
  const { subject, until } = step
  const question = questionOf(subject, step.number)
  const others = entries.filter((entry) => entry.question !== question)
  if (step.drop === 0) return others
  const half = Math.ceil(capacity / 2)
  const countOf = (one: string) => others.filter((entry) => entry.subject === one).length
  const giver = countOf(subject) >= half ? subject : subjects.find((one) => countOf(one) > half)
  const oldest = others.find((entry) => giver === undefined || entry.subject === giver)
  const room = others.length < capacity ? others : others.filter((entry) => entry !== oldest)
  return [...room, { subject, question, until }]
}

describe("KeptAnswers", () => {
  it.prop(
    "keeps the same answers as a naive model, for any sequence of operations",
    [Capacity, Schema.Array(Step)],
    ([capacity, steps]) => {
      const kept = KeptAnswers.make(capacity)
      let entries: ReadonlyArray<Entry> = []
      for (const step of steps) {
        const question = questionOf(step.subject, step.number)
        if (step.drop === 0) kept.drop(question)
        else kept.keep(step.subject, question, step.until)
        entries = naively(capacity, entries, step)
        for (const now of [9, 10, 20]) {
          const held = subjects.flatMap((subject) =>
            numbers.map((number) => questionOf(subject, number)).filter((one) => kept.holds(one, now))
          )
          assert.sameMembers(
            held,
            entries.filter(({ until }) => until > now).map((entry) => entry.question)
          )
        }
      }
    },
    { arbitrary: { runs: 500, size: 60 } }
  )
})
