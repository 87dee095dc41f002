/**
 * Sends COUNT GETs of PATH_ over CONNECTIONS connections, each after the response before it. FIELD is a further header line.
 * ApacheBench does not keep a connection alive after a 304. Fails unless every response has STATUS.
 */
import { connect, type TLSSocket } from "node:tls"
import { clientOptions } from "../test/support/Pki.ts"

const { CONNECTIONS = "1", COUNT = "0", FIELD = "", PATH_ = "/", SERVER_PORT = "0", STATUS = "200" } = process.env
const request = `GET ${PATH_} HTTP/1.1\r\nHost: localhost\r\n${FIELD === "" ? "" : `${FIELD}\r\n`}\r\n`
const expected = `HTTP/1.1 ${STATUS} `

let left = Number(COUNT)
let unanswered = Number(COUNT)

const next = (socket: TLSSocket): void => {
  if (left-- > 0) socket.write(request)
  else socket.end()
}

for (let index = 0; index < Number(CONNECTIONS); index++) {
  const socket = connect({ host: "127.0.0.1", port: Number(SERVER_PORT), ...clientOptions("viewer") })
  socket.once("secureConnect", () => next(socket))
  // The small responses of this benchmark arrive in one piece.
  socket.on("data", (chunk: Buffer) => {
    if (!chunk.toString("latin1", 0, expected.length).startsWith(expected)) throw new Error(chunk.toString("latin1"))
    unanswered--
    next(socket)
  })
}

process.on("exit", () => {
  if (unanswered > 0) process.exitCode = 1
})
