import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { behave } from "../support/Consumers.ts"
import { root, run } from "../support/Example.ts"

const go = join(root, ".dev/go")
const environment = { GOCACHE: join(root, ".dev/go-cache") }

describe("docs/examples/consumer.go", () => {
  it.live("is formatted by gofmt, and go vet finds nothing", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* run(join(go, "gofmt"), ["-l", "docs/examples"], root), "")
      yield* run(join(go, "go"), ["vet", "docs/examples/consumer.go"], root, environment)
    })
  )

  behave({
    name: "consumer.go",
    // Not `go run`, whose child would outlive it.
    command: [
      "sh",
      "-c",
      `${join(go, "go")} build -o "$1.bin" "$1" && program=$1.bin && shift && exec "$program" "$@"`,
      "sh"
    ],
    silence: ["longestSilence = 45 * time.Second", "longestSilence = time.Second"]
  })
})
