import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Https from "node:https"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { type Client, clientOptions, pem, serverPem } from "../support/Pki.ts"

const secured = (tokens: ReadonlyArray<string> | undefined) =>
  Layer.unwrap(
    Effect.sync(() =>
      EmbeddedKube.layer({
        tls: {
          ...serverPem(),
          clientCa: pem("ca.crt")
        },
        ...(tokens === undefined ? {} : { tokens })
      })
    )
  )

/** The status of a request for the list of namespaces. */
const statusFor = Effect.fnUntraced(function* (client: Client, token?: string) {
  const { url } = yield* EmbeddedKube
  return yield* Effect.callback<number | undefined, Error>((resume) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const options = { ...clientOptions(client), headers, agent: false }
    const request = Https.request(`${url}/api/v1/namespaces`, options, (response) => {
      response.resume()
      response.once("end", () => resume(Effect.succeed(response.statusCode)))
    })
    request.once("error", (error) => resume(Effect.fail(error)))
    request.end()
  })
})

describe("the embedded cluster over TLS", () => {
  it.live("accepts a certificate of its client CA and responds 401 to any other", () =>
    Effect.gen(function* () {
      assert.match((yield* EmbeddedKube).url, /^https:\/\/127\.0\.0\.1:\d+$/)
      assert.strictEqual(yield* statusFor("admin"), 200)
      assert.strictEqual(yield* statusFor("none"), 401)
      assert.strictEqual(yield* statusFor("stranger"), 401)
    }).pipe(Effect.provide(secured(undefined)))
  )

  it.live("accepts a token instead of a certificate", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* statusFor("none", "good"), 200)
      assert.strictEqual(yield* statusFor("none", "bad"), 401)
      assert.strictEqual(yield* statusFor("admin"), 200)
    }).pipe(Effect.provide(secured(["good"])))
  )
})
