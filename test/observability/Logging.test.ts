import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { PassThrough } from "node:stream"
import * as AuditLog from "../../src/observability/AuditLog.ts"
import { Audit } from "../../src/observability/Audit.ts"
import * as Logging from "../../src/observability/Logging.ts"
import { printable } from "../../src/observability/Printable.ts"
import { identity } from "./Requests.ts"

const hostile = "x\nsubject: admin\u001b[2J\u009b2J\u2028\u202e"

/** The lines that a format writes to the console for a write by this user. */
const written = (logFormat: "json" | "pretty", user: string) =>
  Effect.gen(function* () {
    const log = yield* Effect.acquireRelease(
      Effect.sync(() => vi.spyOn(globalThis.console, "log").mockImplementation(() => {})),
      (spy) => Effect.sync(() => spy.mockRestore())
    )
    yield* Effect.flatMap(Audit, (audit) =>
      audit.record({
        requestId: "r-1",
        identity: identity(user),
        remoteAddress: "192.0.2.1",
        namespace: user,
        deployment: "nginx",
        to: "3",
        ifMatch: undefined,
        dryRun: false,
        from: 1,
        outcome: "refused",
        code: "Unauthorized",
        late: false,
        receivedAt: 0
      })
    ).pipe(Effect.provide([AuditLog.layer(new PassThrough()), Logging.layer({ logLevel: "info", logFormat }, false)]))
    return log.mock.calls.map((words) => words.map(String).join(" "))
  })

describe("a log format", () => {
  it.live("pretty has one line for each field, and no control character of a client", () =>
    Effect.gen(function* () {
      const lines = yield* written("pretty", hostile)
      assert.include(lines, `subject: ${printable(hostile)}`)
      assert.include(lines, `namespace: ${printable(hostile)}`)
      assert.strictEqual(lines.filter((line) => line.startsWith("subject:")).length, 1)
      for (const line of lines) assert.notMatch(line, /[\p{Cc}\p{Cf}\p{Zl}]/u)
    })
  )

  it.live("json has one line, with the text of the client as a value", () =>
    Effect.gen(function* () {
      const [line = "", ...others] = yield* written("json", hostile)
      assert.isEmpty(others)
      assert.notInclude(line, "\n")
      assert.strictEqual(JSON.parse(line).annotations.subject, hostile)
    })
  )
})
