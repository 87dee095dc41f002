import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { OpenApi } from "effect/http-api"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Api } from "../../src/contract/Api.ts"
import { EndReason } from "../../src/contract/Events.ts"
import { behave } from "../support/Consumers.ts"
import { project, root, run } from "../support/Example.ts"
import { send } from "../support/Https.ts"
import { demoSettings, start, startCommand } from "../support/Process.ts"

const page = readFileSync(join(root, "docs/consuming.md"), "utf8")

/** The code blocks of a section, in this language. */
const blocks = (section: string, language: string): ReadonlyArray<string> => {
  const text = page.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? ""
  return Array.from(text.matchAll(/^```(\w*)\n([^]*?)^```/gm))
    .filter(([, of]) => of === language)
    .map(([, , code = ""]) => code)
}

const definitions = Array.from(page.matchAll(/^```sh\n(kra\(\)[^]*?)^```/gm), ([, code = ""]) => code).join("")
const nginx = "/namespaces/personal/deployments/nginx/replica_count"

describe("docs/consuming.md", () => {
  it.live("its curl lines do what the page says", () =>
    Effect.gen(function* () {
      const service = yield* start(demoSettings)
      const port = yield* service.port
      yield* service.printed("Ready")
      const folder = yield* project([])
      const script = (section: string) => {
        const [code = ""] = blocks(section, "sh")
        return `cd ${folder}\n${definitions.replaceAll(":8443", `:${port}`)}${code}`
      }
      const curl = (section: string) => run("bash", ["-euc", script(section)], folder)
      const set = (count: number) => send(port, { client: "admin", method: "PUT", path: `${nginx}/${count}` })

      assert.match(yield* curl("Polling"), /^HTTP\/1.1 304 /)

      const waiting = yield* startCommand("bash", ["-euc", script("Waiting for a change")], { PATH: "/usr/bin:/bin" })
      yield* set(38)
      yield* waiting.printed('"replica_count":38')
      assert.strictEqual(yield* waiting.exited, 0)

      const streaming = yield* startCommand("bash", ["-euc", script("Streaming")], { PATH: "/usr/bin:/bin" })
      yield* streaming.printed("event: snapshot")
      yield* set(12)
      yield* streaming.printed('data: [{"namespace":"personal","deployment":"nginx","replica_count":12}]\n: version ')

      assert.strictEqual(yield* curl("Safe scaling"), "{}")
      assert.include((yield* send(port, { client: "viewer", path: nginx })).body, '"replica_count":13')
    }).pipe(Effect.scoped)
  )

  it("its lines of the typed client are lines of the program", () => {
    const program = readFileSync(join(root, "docs/examples/consumer-effect.ts"), "utf8")
    const [code = ""] = blocks("Safe scaling", "ts")
    assert.include(program, code.trim())
    assert.isNotEmpty(code)
  })

  it("names every reason for the end of a stream and every error", () => {
    for (const reason of EndReason.literals) assert.include(page, `| \`${reason}\``)
    const table = page.split(/^## /m).find((part) => part.startsWith("Retries")) ?? ""
    const operations = Object.values(OpenApi.fromApi(Api).paths).flatMap(({ get, put }) => [get, put])
    const statuses = new Set(operations.flatMap((operation) => Object.keys(operation?.responses ?? {})))
    for (const status of statuses) if (status >= "400") assert.match(table, new RegExp(`^\\|.*\\b${status}\\b`, "m"))
    assert.isTrue(statuses.has("412"))
  })
})

const python = join(root, ".dev/python/python3")

behave(
  { name: "consumer-effect.ts", command: [process.execPath] },
  {
    name: "consumer.ts",
    command: [process.execPath],
    silence: ["longestSilence = 45_000", "longestSilence = 1000"]
  },
  { name: "consumer.py", command: [python], silence: ["SILENCE = 45", "SILENCE = 1"] }
)
