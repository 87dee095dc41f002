/**
 * The framing of a watch: one JSON text per line, in chunks that may end anywhere, even within a character.
 */
import { Result, Stream } from "effect"

/** Maximum length of a line in bytes. etcd stores objects of up to 1.5 MiB; aggregated APIs may send larger ones. */
export const maxLineBytes = 8 * 1024 * 1024

const newline = 0x0a

/** A line of text, or an error, which ends the stream. */
export type Line = Result.Result<string, string>

const splitter = (limit: number) => {
  const decoder = new TextDecoder("utf-8", { fatal: true })
  let parts: Array<Uint8Array> = []
  let length = 0
  let broken = false

  const fail = (message: string): Line => {
    broken = true
    parts = []
    return Result.fail(message)
  }

  const complete = (): Line => {
    const [only] = parts
    const line = Result.try({
      try: () => decoder.decode(parts.length === 1 ? only : Buffer.concat(parts, length)),
      catch: () => "not UTF-8"
    })
    parts = []
    length = 0
    return Result.isFailure(line) ? fail(line.failure) : line
  }

  return {
    /** The lines that this chunk completes. */
    push: (chunk: Uint8Array): ReadonlyArray<Line> => {
      const out: Array<Line> = []
      let from = 0
      while (from < chunk.length) {
        if (broken) {
          break
        }
        // In UTF-8 the byte of a newline is never part of another character, so bytes can be searched before decoding.
        const at = chunk.indexOf(newline, from)
        const part = chunk.subarray(from, at === -1 ? chunk.length : at)
        parts.push(part)
        length += part.length
        from += part.length + 1
        if (length > limit) {
          out.push(fail(`a line of more than ${limit} bytes`))
        } else if (at !== -1) {
          out.push(complete())
        }
      }
      return out
    },
    /** At the end of the stream: an error if a line has no newline, because it was truncated. */
    end: (): ReadonlyArray<Line> => (!broken && length > 0 ? [fail("truncated in the middle of a line")] : [])
  }
}

/** Splits bytes into lines. A failure is emitted as the last element. */
export const watchLines =
  (limit: number = maxLineBytes) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Line, E, R> =>
    Stream.suspend(() => {
      const split = splitter(limit)
      const lines = Stream.mapAccumArray(
        bytes,
        () => undefined,
        (_, chunks) => [undefined, chunks.flatMap(split.push)] as const
      )
      // Only after a clean end: a broken connection has its own error.
      return Stream.concat(
        lines,
        Stream.suspend(() => Stream.fromIterable(split.end()))
      )
    })
