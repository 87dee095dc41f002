import { assert, describe, it } from "@effect/vitest"
import { Duration, Redacted } from "effect"
import { createClient } from "redis"
import { clientOptions } from "../../../src/shared/redis/ClientOptions.ts"

const clientOf = (url: string, ca?: string) =>
  createClient(
    clientOptions(
      { url: Redacted.make(url), ca, commandTimeout: Duration.seconds(1), silenceLimit: Duration.seconds(3) },
      new AbortController().signal
    )
  )

/** The class with all commands. */
const classOf = (client: object): unknown => Object.getPrototypeOf(Object.getPrototypeOf(client))

describe("the clients of several Redis servers", () => {
  it("share the class with all commands", () => {
    const first = clientOf("redis://127.0.0.1:1")
    assert.strictEqual(classOf(clientOf("rediss://user:of%3Aserver@[::1]:2/0", "PEM")), classOf(first))
    assert.notStrictEqual(classOf(createClient({ url: "redis://127.0.0.1:3" })), classOf(first))
  })
})
