/** The baseline: a bare node:https server with the service's TLS settings that writes one body and checks nothing. */
import { readFileSync } from "node:fs"
import { createServer } from "node:https"
import { file } from "../test/integration/Pki.ts"

const body = '{"namespace":"personal","deployment":"nginx","replica_count":12}'

const server = createServer(
  {
    cert: readFileSync(file("server.crt")),
    key: readFileSync(file("server.key")),
    ca: readFileSync(file("ca.crt")),
    ciphers: "TLS_AES_128_GCM_SHA256",
    minVersion: "TLSv1.3",
    requestCert: true,
    rejectUnauthorized: false
  },
  (_request, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length })
    response.end(body)
  }
)

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  const port = address === null || typeof address === "string" ? 0 : address.port
  process.stdout.write(`${JSON.stringify({ port })}\n`)
})
