import { Duration, Effect, Metric, type Scope } from "effect"
import type { Writable } from "node:stream"

/** Where lines go without anybody waiting for them. */
export interface LineWriter {
  /** Takes a line, with its line end. Once it has been dropped for want of room it is counted, and gone. */
  readonly write: (line: string) => void
}

/** How lines are gathered. */
export interface LineWriterOptions {
  /**
   * How long a line may wait for others, so that many go out in one write: each write wakes the reader, which costs more
   * than the lines. Default: 100 milliseconds.
   */
  readonly flushEvery?: Duration.Input | undefined
  /** How much may wait for a reader that does not keep up, in characters. Default: 4 Mi. */
  readonly maxBuffered?: number | undefined
  /** How long the end waits for such a reader. Default: 2 seconds. */
  readonly closeTimeout?: Duration.Input | undefined
}

const dropped = Metric.counter("log_lines_dropped_total", {
  description: "Lines of the request log that were dropped because nobody read them fast enough.",
  incremental: true
})

/** So many characters are not held back for others, in the pipe's own 64 KiB. */
const fullBatch = 32_768

/**
 * Writes lines to a stream in batches, and never blocks: what a slow reader leaves is kept up to a bound, and beyond it
 * new lines are dropped and counted in `log_lines_dropped_total`. All that was kept is written before the scope closes.
 */
export const make = Effect.fnUntraced(function* (
  stream: Writable,
  options: LineWriterOptions = {}
): Effect.fn.Return<LineWriter, never, Scope.Scope> {
  const context = yield* Effect.context<never>()
  const flushMillis = Duration.toMillis(options.flushEvery ?? "100 millis")
  const maxBuffered = options.maxBuffered ?? 4_194_304
  let waiting = ""
  let timer: NodeJS.Timeout | undefined
  let broken = false
  let awaitingDrain = false
  dropped.updateUnsafe(0, context)

  const flush = () => {
    timer = undefined
    if (waiting === "" || broken) return
    if (stream.writableNeedDrain) {
      if (!awaitingDrain) stream.once("drain", drained)
      awaitingDrain = true
      return
    }
    const lines = waiting
    waiting = ""
    stream.write(lines)
  }

  const drained = () => {
    awaitingDrain = false
    flush()
  }

  // A reader that has gone must not end the service.
  const onError = () => {
    broken = true
    waiting = ""
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => stream.on("error", onError)),
    () =>
      Effect.callback<void>((resume) => {
        clearTimeout(timer)
        if (broken || (waiting === "" && stream.writableLength === 0)) return resume(Effect.void)
        stream.write(waiting, () => resume(Effect.void))
        waiting = ""
        return undefined
      }).pipe(
        Effect.timeoutOption(options.closeTimeout ?? "2 seconds"),
        Effect.andThen(
          Effect.sync(() => {
            stream.removeListener("drain", drained)
            stream.removeListener("error", onError)
          })
        )
      )
  )

  return {
    write: (line) => {
      if (broken || waiting.length + line.length > maxBuffered) {
        dropped.updateUnsafe(1, context)
        return
      }
      waiting += line
      if (waiting.length >= fullBatch && !stream.writableNeedDrain) {
        clearTimeout(timer)
        flush()
      } else {
        timer ??= setTimeout(flush, flushMillis)
      }
    }
  }
})
