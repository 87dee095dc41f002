/** A cache of answers of one kind, by question. An answer belongs to a subject and expires. */
export interface KeptAnswers {
  /** Whether the question has an answer that has not expired. */
  readonly holds: (question: string, nowMillis: number) => boolean
  readonly keep: (subject: string, question: string, untilMillis: number) => void
  readonly drop: (question: string) => void
}

interface Holder {
  readonly subject: string
  readonly questions: Set<string>
}

interface Answer {
  readonly holder: Holder
  readonly untilMillis: number
}

/**
 * Keeps at most `capacity` answers. A full cache evicts the oldest answer of the subject itself if it holds half of the
 * places, else of the subject that holds more than half, else of all. So a subject that is alone may use every place, and
 * one with many questions leaves half of them to the others.
 */
export const make = (capacity: number): KeptAnswers => {
  // Effect's Cache moves an entry to the end of its map on each hit. With 9,000 entries that costs 10 µs, a third of a
  // whole read. Here a hit moves nothing: the order is that of insertion.
  const answers = new Map<string, Answer>()
  const holders = new Map<string, Holder>()
  const half = Math.ceil(capacity / 2)
  // The last subject to hold more than half of the places. No two can at once.
  let largest: Holder | undefined

  const drop = (question: string): void => {
    const answer = answers.get(question)
    if (answer === undefined) return
    const { questions, subject } = answer.holder
    answers.delete(question)
    questions.delete(question)
    if (questions.size === 0) holders.delete(subject)
  }

  const makeRoomFor = (subject: string): void => {
    const own = holders.get(subject)
    const most = largest !== undefined && largest.questions.size > half ? largest : undefined
    const giver = own !== undefined && own.questions.size >= half ? own : most
    const [oldest] = giver?.questions ?? answers.keys()
    if (oldest !== undefined) drop(oldest)
  }

  return {
    holds: (question, nowMillis) => {
      const answer = answers.get(question)
      return answer !== undefined && answer.untilMillis > nowMillis
    },
    keep: (subject, question, untilMillis) => {
      drop(question)
      if (answers.size >= capacity) makeRoomFor(subject)
      const holder = holders.get(subject) ?? { subject, questions: new Set() }
      holders.set(subject, holder)
      holder.questions.add(question)
      answers.set(question, { holder, untilMillis })
      if (holder.questions.size > half) largest = holder
    },
    drop
  }
}
