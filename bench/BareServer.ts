/**
 * The baseline: a node:https server with the service's TLS settings that checks nothing and writes the same bytes. The JSON
 * file `BODIES` holds the body of each path. The header fields are constant.
 */
import { Config, Effect, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { createServer } from "node:https"
import { serviceTls } from "./ServiceTls.ts"

const Bodies = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))

const main = Effect.gen(function* () {
  const read = yield* Schema.decodeEffect(Bodies)(readFileSync(yield* Config.String("BODIES"), "utf8"))
  // Node sends a short string in one piece with the head, and a long buffer without encoding it again.
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
