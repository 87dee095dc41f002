/**
 * A program that sends `PER_SECOND` GETs of `PATH_` to the server on `SERVER_PORT` for `SECONDS`, over `CONNECTIONS`
 * keep-alive connections with mutual TLS; `SPIN` as in Pace. A read that is due waits for a free connection, and its latency
 * counts from the due time: a server that stalls is charged for all reads that wait. Prints the number of reads and the
 * quantiles of their latencies in milliseconds.
 */
import { Config, Effect } from "effect"
import type { TLSSocket } from "node:tls"
import { tlsConnection } from "../test/support/Sockets.ts"
import { paced } from "./Pace.ts"
import { quantile } from "./Spread.ts"

const headEnd = "\r\n\r\n"

const main = Effect.gen(function* () {
  const port = yield* Config.Int("SERVER_PORT")
  const perSecond = yield* Config.Number("PER_SECOND")
  const seconds = yield* Config.Number("SECONDS")
  const spin = yield* Config.Boolean("SPIN")
  const request = `GET ${yield* Config.String("PATH_")} HTTP/1.1\r\nHost: localhost\r\n\r\n`
  const free: Array<(due: number) => void> = []
  const waiting: Array<number> = []
  const millis: Array<number> = []

  const use = (socket: TLSSocket) => {
    let due = 0
    let left = 0
    const send = (at: number) => {
      due = at
      socket.write(request)
    }
    socket.on("data", (chunk: Buffer) => {
      if (left === 0) {
        const head = chunk.toString("latin1", 0, 2048)
        if (!head.startsWith("HTTP/1.1 200")) throw new Error(head)
        left = head.indexOf(headEnd) + headEnd.length + Number(/content-length: ([0-9]+)/i.exec(head)?.[1])
      }
      left -= chunk.length
      if (left > 0) return
      millis.push(performance.now() - due)
      const next = waiting.shift()
      if (next === undefined) free.push(send)
      else send(next)
    })
    free.push(send)
  }
  const sockets = yield* Effect.forEach(Array.from({ length: yield* Config.Int("CONNECTIONS") }), () =>
    tlsConnection({ port }, "viewer")
  )
  sockets.forEach(use)
  const run = (length: number) =>
    paced({ perSecond, seconds: length, spin }, (due) => {
      const send = free.pop()
      if (send === undefined) waiting.push(due)
      else send(due)
    })
  // Warms up the compilers of both sides.
  yield* run(Math.min(1, seconds))
  millis.length = 0
  yield* run(seconds)
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((q) => quantile(millis, q))
  process.stdout.write(`${JSON.stringify({ count: millis.length, p50, p99, p999 })}\n`)
}).pipe(Effect.scoped)

await Effect.runPromise(main)
