import { Duration, Effect, Metric, type Scope } from "effect"
import type { Writable } from "node:stream"

/** Writes lines without backpressure. */
export interface LineWriter {
  /** Writes a line, which includes its line end. Drops and counts it if the buffer is full. */
  readonly write: (line: string) => void
}

/** Options of the buffer. */
export interface LineWriterOptions {
  /**
   * How long a line waits for others, so that one write takes many: each write wakes the reader, which costs more than the
   * lines. Default: 100 milliseconds.
   */
  readonly flushEvery?: Duration.Input | undefined
  /** Characters to buffer for a slow reader. Default: 4 Mi. */
  readonly maxBuffered?: number | undefined
  /** How long the end of the scope waits for a slow reader. Default: 2 seconds. */
  readonly closeTimeout?: Duration.Input | undefined
}

const dropped = Metric.counter("log_lines_dropped_total", {
  description: "Lines of the request log that were dropped because the reader is too slow.",
  incremental: true
})

/** A batch of this size is written at once. A pipe holds 64 KiB. */
const fullBatch = 32_768

/** Leaves room for other lines in the stream's own buffer, whose length limits the audit log. */
const largestWrite = 65_536

/**
 * Writes lines to a stream in batches and never blocks. It buffers lines for a slow reader up to a bound, and drops and counts
 * further lines in `log_lines_dropped_total`. The end of the scope flushes the buffer.
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
    const lines = waiting.slice(0, largestWrite)
    waiting = waiting.slice(largestWrite)
    stream.write(lines)
    if (waiting !== "") flush()
  }

  const drained = () => {
    awaitingDrain = false
    flush()
  }

  // A closed reader must not end the service.
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
