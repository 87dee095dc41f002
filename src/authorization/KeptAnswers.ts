/** Answers of one kind, by question, each of them for a subject and for a time. */
export interface KeptAnswers {
  /** Whether this question's answer is kept, and its time is not over. */
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
 * Keeps at most `capacity` answers. Where all places are taken, a subject that has half of them gives its own oldest for
 * its next; for another's, whoever has more than half gives the oldest, and where nobody has, the oldest of all goes. So
 * a subject that is alone may use every place, and one with many questions leaves half of them to the others.
 */
export const make = (capacity: number): KeptAnswers => {
  // Not effect's Cache, which moves each entry that is hit to the end of its map: with 9,000 entries that costs 10 µs a
  // hit, and a third of a whole read. Here nothing moves; what was decided first is the first to go.
  const answers = new Map<string, Answer>()
  const holders = new Map<string, Holder>()
  const half = Math.ceil(capacity / 2)
  // Who was the last to hold more than half. No two can at once, so nobody else does.
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
