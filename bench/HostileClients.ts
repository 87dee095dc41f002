/**
 * A program that attacks the service at `PORT` over `CONNECTIONS` connections from `SOURCES` addresses, and reopens what is
 * closed. `ATTACK` is one of:
 *
 * - `chains`: sends a chain of certificates that is expensive to verify, and connects again.
 * - `hoards`: a permitted user asks for a large list and does not read it.
 * - `held`: a permitted user holds connections, and reads on each once a second.
 * - `metrics`: a permitted user reads the metrics as fast as the responses arrive.
 * - `puts`: a client without a certificate sends writes as fast as the responses arrive.
 */
import { Config, Effect, Schema } from "effect"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { connect as connectTcp } from "node:net"
import { constants, setPriority } from "node:os"
import { connect as connectTls, type TLSSocket } from "node:tls"
import { clientOptions } from "../test/support/Pki.ts"
import { makeHostileChain } from "./HostileChain.ts"

const reopenMillis = 250

const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`

/** Sends a request after each response. A response's head arrives in one piece. */
const askAgain = (request: string) => (socket: TLSSocket) => {
  socket.on("data", (chunk: Buffer) => {
    if (chunk.toString("latin1").includes("HTTP/1.1 ")) socket.write(request)
  })
  socket.write(request)
}

const attacks = {
  chains: () => ({ ...clientOptions("none"), ...makeHostileChain(), use: () => {} }),
  hoards: () => ({
    ...clientOptions("admin"),
    use: (socket: TLSSocket) => {
      socket.pause()
      socket.write(get("/namespaces/ANY/deployments/ANY/replica_count"))
    }
  }),
  held: () => ({
    ...clientOptions("admin"),
    use: (socket: TLSSocket) => {
      const asking = setInterval(() => socket.write(get("/namespaces")), 1000)
      socket.on("close", () => clearInterval(asking))
      socket.resume()
    }
  }),
  metrics: () => ({ ...clientOptions("admin"), use: askAgain(get("/metrics")) }),
  puts: () => ({
    ...clientOptions("none"),
    use: askAgain("PUT /namespaces/a/deployments/b/replica_count/1 HTTP/1.1\r\nHost: x\r\n\r\n")
  })
}

const main = Effect.gen(function* () {
  const number = (name: string) => Config.schema(Schema.NumberFromString, name)
  const kind = yield* Config.schema(Schema.Literals(["chains", "hoards", "held", "metrics", "puts"]), "ATTACK")
  const port = yield* number("PORT")
  const connections = yield* number("CONNECTIONS")
  const sources = yield* number("SOURCES")
  const { use, ...options } = attacks[kind]()
  let opened = 0
  const open = () => {
    const raw = connectTcp({ host: "127.0.0.1", port, localAddress: `127.0.2.${1 + (opened++ % sources)}` })
    const socket = connectTls({ ...options, socket: raw }, () => use(socket))
    for (const one of [raw, socket]) one.on("error", () => one.destroy())
    raw.once("close", () => setTimeout(open, reopenMillis))
  }
  // The attack must not take CPU time from the clients that are measured on this machine.
  setPriority(constants.priority.PRIORITY_LOW)
  for (let at = 0; at < connections; at++) open()
  yield* Effect.forever(
    Effect.andThen(
      Effect.sleep(1000),
      Effect.sync(() => process.stdout.write(`{"opened":${opened}}\n`))
    )
  )
})

NodeRuntime.runMain(main)
