/**
 * A program that attacks the service at `PORT` as a client without a certificate can: `HANDSHAKES` connections stall in
 * their handshake, `HEADERS` connections dribble a header block, and `FLOODERS` clients send requests as fast as the
 * responses arrive, `PIPELINED` in a packet. They come from `SOURCES` addresses and reopen what is closed. `BARE` new
 * connections a second never send anything. Each second the program prints the open connections of each kind, the
 * responses and the connections opened so far.
 */
import { Config, Effect, Schema } from "effect"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { connect as connectTcp, type Socket } from "node:net"
import { constants, setPriority } from "node:os"
import { connect as connectTls } from "node:tls"
import { clientOptions } from "./Pki.ts"

/** The first bytes of a ClientHello that announces 508 more bytes. */
const halfHello = Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])
const reopenMillis = 250
const bareMillis = 20

const tallies = { handshakes: 0, headers: 0, flooders: 0, answers: 0, opened: 0 }

/** Keeps one connection open. `use` attacks with it and returns a function to call when it has closed. */
const keep = (
  sort: "handshakes" | "headers" | "flooders",
  open: (ready: () => void) => Socket,
  use: (socket: Socket) => () => void
) => {
  let stop = () => {}
  let counted = false
  const socket: Socket = open(() => {
    tallies[sort]++
    tallies.opened++
    counted = true
    stop = use(socket)
  })
  socket.on("error", () => socket.destroy())
  socket.once("close", () => {
    stop()
    if (counted) tallies[sort]--
    setTimeout(() => keep(sort, open, use), reopenMillis)
  })
}

const dribble = (socket: Socket, byte: string) => {
  const drops = setInterval(() => socket.write(byte), 1000)
  return () => clearInterval(drops)
}

const main = Effect.gen(function* () {
  const number = (name: string) => Config.schema(Schema.NumberFromString, name)
  const port = yield* number("PORT")
  const counts = {
    handshakes: yield* number("HANDSHAKES"),
    headers: yield* number("HEADERS"),
    flooders: yield* number("FLOODERS")
  }
  const pipelined = yield* number("PIPELINED")
  const sources = yield* number("SOURCES")
  const bare = yield* number("BARE")
  const options = { host: "127.0.0.1", port, ...clientOptions("none") }
  let attempts = 0
  // With one source, attackers share the address of the measured clients.
  const localAddress = () => (sources === 1 ? "127.0.0.1" : `127.0.1.${1 + (attempts++ % sources)}`)
  const tcp = (ready: () => void) => connectTcp({ host: options.host, port, localAddress: localAddress() }, ready)
  // TLS has no option for the local address, so the TCP connection is opened first.
  const tls = (ready: () => void) => connectTls({ ...options, socket: tcp(() => {}) }, ready)
  const request = "GET /namespaces HTTP/1.1\r\nHost: x\r\n\r\n".repeat(pipelined)

  // The attack must not take CPU time from the clients that are measured on this machine.
  setPriority(constants.priority.PRIORITY_LOW)
  for (let at = 0; at < counts.flooders; at++) {
    keep("flooders", tls, (socket) => {
      let expected = pipelined
      socket.on("data", (chunk: Buffer) => {
        const answers = chunk.toString("latin1").split("HTTP/1.1 ").length - 1
        tallies.answers += answers
        expected -= answers
        if (expected > 0) return
        expected = pipelined
        socket.write(request)
      })
      socket.write(request)
      return () => {}
    })
  }
  for (let at = 0; at < counts.headers; at++) {
    keep("headers", tls, (socket) => {
      socket.write("GET /namespaces HTTP/1.1\r\nX-Dribble: ")
      return dribble(socket, "x")
    })
  }
  for (let at = 0; at < counts.handshakes; at++) {
    keep("handshakes", tcp, (socket) => {
      socket.write(halfHello)
      return dribble(socket, "\0")
    })
  }
  if (bare > 0) {
    setInterval(() => {
      for (let at = 0; at < (bare * bareMillis) / 1000; at++) {
        const socket = tcp(() => tallies.opened++)
        socket.on("error", () => socket.destroy())
      }
    }, bareMillis)
  }
  yield* Effect.forever(
    Effect.andThen(
      Effect.sleep(1000),
      Effect.sync(() => process.stdout.write(`${JSON.stringify(tallies)}\n`))
    )
  )
})

NodeRuntime.runMain(main)
