/**
 * The baseline: a bare node:https server with the service's TLS settings that checks nothing and writes the same bytes: ready
 * bodies, those of the paths in the file `BODIES`, under the same header fields, of which nothing is made for the request.
 */
import { Config, Effect, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { createServer } from "node:https"
import { serviceTls } from "./ServiceTls.ts"

const Bodies = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))

const main = Effect.gen(function* () {
  const read = yield* Schema.decodeEffect(Bodies)(readFileSync(yield* Config.String("BODIES"), "utf8"))
  // A short body leaves in one piece with its head, a long one without being encoded again: the best of both for each.
  const bodies = new Map(
    Object.entries(read).map(([path, text]) => [path, text.length < 16_384 ? text : Buffer.from(text, "latin1")])
  )
  const requestId = randomUUID()
  const server = createServer(
    {
      keepAliveTimeout: 65_000,
      ...serviceTls()
    },
    (request, response) => {
      const body = bodies.get(request.url ?? "") ?? "{}"
      response.writeHead(200, {
        age: "0",
        "content-type": "application/json",
        "content-length": String(body.length),
        "x-request-id": requestId
      })
      response.end(body)
    }
  )
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = address === null || typeof address === "string" ? 0 : address.port
    process.stdout.write(`${JSON.stringify({ port })}\n`)
  })
})

await Effect.runPromise(main)
