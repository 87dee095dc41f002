import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Metric, Scope } from "effect"
import { TestClock } from "effect/testing"
import { PrometheusMetrics } from "effect/observability"
import { PassThrough, Writable } from "node:stream"
import * as LineWriter from "../../src/observability/LineWriter.ts"
import { eventually } from "../support/Eventually.ts"

const registry = Layer.sync(Metric.MetricRegistry, () => new Map())

/** A stream whose reader accepts nothing until `unstick`. */
class Stuck extends Writable {
  readonly chunks: Array<string> = []
  release: (() => void) | undefined
  open = false
  constructor() {
    super({ highWaterMark: 10, decodeStrings: false })
  }
  override _write(chunk: string, _encoding: string, done: () => void) {
    this.chunks.push(chunk)
    if (this.open) done()
    else this.release = done
  }
  unstick() {
    this.open = true
    this.release?.()
  }
}

describe("LineWriter", () => {
  it.live("writes several lines in one chunk", () =>
    Effect.gen(function* () {
      const stream = new PassThrough()
      const first = yield* Deferred.make<string>()
      stream.once("data", (chunk: Buffer) => Deferred.doneUnsafe(first, Effect.succeed(chunk.toString())))
      const writer = yield* LineWriter.make(stream, { flushEvery: "5 millis" })
      writer.write("a\n")
      writer.write("b\n")
      assert.strictEqual(yield* Deferred.await(first), "a\nb\n")
    })
  )

  it.live("has written all lines when its scope has closed", () =>
    Effect.gen(function* () {
      const stream = new Stuck()
      const scope = yield* Scope.make()
      const writer = yield* LineWriter.make(stream, { flushEvery: "1 hour" }).pipe(Scope.provide(scope))
      writer.write("last words\n")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.isUndefined(closing.pollUnsafe())
      stream.unstick()
      yield* Fiber.join(closing)
      assert.deepStrictEqual(stream.chunks, ["last words\n"])
    })
  )

  it.effect("waits for a stuck reader until closeTimeout", () =>
    Effect.gen(function* () {
      const stream = new Stuck()
      const scope = yield* Scope.make()
      const writer = yield* LineWriter.make(stream, { closeTimeout: "2 seconds" }).pipe(Scope.provide(scope))
      writer.write("never read\n")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(closing)
    })
  )

  it.live("buffers up to a bound for a slow reader, drops and counts further lines, and resumes when it reads", () =>
    Effect.gen(function* () {
      const stream = new Stuck()
      const scope = yield* Scope.make()
      const writer = yield* LineWriter.make(stream, { flushEvery: "1 millis", maxBuffered: 10 }).pipe(
        Scope.provide(scope)
      )
      writer.write("123456789\n")
      yield* eventually(
        () => stream.writableNeedDrain,
        (isFull) => isFull
      )
      writer.write("1234567\n")
      writer.write("123\n")
      writer.write("4\n")
      assert.include(yield* PrometheusMetrics.format(), "log_lines_dropped_total 1\n")
      stream.unstick()
      yield* eventually(
        () => stream.chunks.length,
        (count) => count === 2
      )
      writer.write("again\n")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(stream.chunks, ["123456789\n", "1234567\n4\n", "again\n"])
    }).pipe(Effect.provide(registry))
  )

  it.live("drops lines without an error when the reader has gone", () =>
    Effect.gen(function* () {
      const stream = new PassThrough()
      const writer = yield* LineWriter.make(stream, { flushEvery: "1 millis" })
      writer.write("a\n")
      yield* Effect.callback<void>((resume) => {
        stream.once("close", () => resume(Effect.void))
        stream.destroy(new Error("EPIPE"))
      })
      writer.write("b\n")
      assert.include(yield* PrometheusMetrics.format(), "log_lines_dropped_total 1\n")
    }).pipe(Effect.scoped, Effect.provide(registry))
  )
})
