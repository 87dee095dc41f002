/**
 * Holds reads of a service: waits or event streams, each over a connection of its own. On standard input, `hold` sends the
 * requests and `report` prints the milliseconds from each change until each stream had it: a probed count is the time of its
 * change in microseconds.
 *
 * PORT, KIND (wait or stream), COUNT, FROM (the time of zero); READS: all the count of the probe (`probe`), each a count of its
 * own, the first that of the probe (`counts`), or each the names of a namespace's deployments (`names`).
 */
import { createInterface } from "node:readline"
import { connect, type TLSSocket } from "node:tls"
import { clientOptions } from "../test/support/Pki.ts"
import { monotonicMicros } from "./MonotonicClock.ts"

const { COUNT = "0", KIND = "stream", PORT = "0", READS = "counts", FROM = "0" } = process.env
const count = Number(COUNT)
const from = Number(FROM)
const perNamespace = 100

const pad = (number: number) => String(number).padStart(5, "0")

const target = (index: number): string => {
  if (READS === "names") return `/namespaces/load-${pad(index)}/deployments`
  const at = READS === "probe" ? 0 : index
  return `/namespaces/load-${pad(Math.floor(at / perNamespace))}/deployments/deployment-${pad(at % perNamespace)}/replica_count`
}

const millis: Array<number> = []
let opened = 0
let answered = 0

const print = (line: string) => process.stdout.write(`${line}\n`)

const open = (index: number): TLSSocket => {
  const socket = connect({ host: "127.0.0.1", port: Number(PORT), ...clientOptions("viewer"), session: undefined })
  socket.on("error", (error) => print(`error ${error.message}`))
  socket.once("secureConnect", () => socket.write(`GET ${target(index)} HTTP/1.1\r\nHost: localhost\r\n\r\n`))
  socket.once("data", () => {
    if (++opened === count) print("open")
    socket.on("data", (chunk: Buffer) => {
      const at = monotonicMicros() - from
      const text = chunk.toString("latin1")
      if (text.includes("event: snapshot")) {
        if (++answered === count) print("held")
        return
      }
      for (const [, changed] of text.matchAll(/^id: "([0-9]+)"$/gm)) {
        if (Number(changed) > 1000) millis.push((at - Number(changed)) / 1000)
      }
    })
  })
  return socket
}

const sockets: Array<TLSSocket> = []
/** A few at once, as the service admits handshakes at a limited pace. */
const openNext = () => {
  while (sockets.length < count && sockets.length - opened < 64) sockets.push(open(sockets.length))
  if (sockets.length < count) setTimeout(openNext, 5)
}
openNext()

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "hold") {
    const fields = KIND === "wait" ? "If-None-Match: *\r\nPrefer: wait=3600\r\n" : "Accept: text/event-stream\r\n"
    for (const [index, socket] of sockets.entries()) {
      socket.write(`GET ${target(index)} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`)
    }
    if (KIND === "wait") setTimeout(() => print("held"), 10_000)
  }
  if (line === "report") print(JSON.stringify({ millis }))
})
