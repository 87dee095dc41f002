import { Data } from "effect"

/** There was no response; `problem` is the error of the connection. */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{ readonly problem: string }> {
  override get message(): string {
    return `no answer: ${this.problem}`
  }
}

/** The error of a connection. */
export const noAnswer = (error: Error) =>
  new NoAnswer({ problem: "code" in error ? `${error.message} (${String(error.code)})` : error.message })
