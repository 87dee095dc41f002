import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { send } from "../support/Https.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { file, serverPem } from "../support/Pki.ts"
import { bundled, demoSettings, start } from "../support/Process.ts"

const files = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]))

const tls = Layer.unwrap(
  Effect.sync(() =>
    EmbeddedKube.layer({
      seed: demoSeed,
      tokens: ["s3cret-token"],
      tls: serverPem()
    })
  )
)

describe("the bundle", () => {
  it.live("is reproducible, contains no path of the build machine and lists the licenses of its packages", () =>
    Effect.gen(function* () {
      const [first, second] = [files(yield* bundled), files(yield* bundled)]
      assert.deepStrictEqual(first, second)
      for (const [name, text] of Object.entries(first)) {
        assert.notInclude(text, new URL("../..", import.meta.url).pathname, name)
      }
      assert.match(first["licenses.txt"] ?? "", /^effect [0-9.]+: MIT\n\nMIT License/m)
      assert.match(first["licenses.txt"] ?? "", /^@kubernetes\/client-node [0-9.]+: Apache-2.0\n\nApache License/m)
    })
  )

  it.live("runs without node_modules and with credentials of an exec plugin, and exits with 0 on SIGTERM", () =>
    Effect.gen(function* () {
      const folder = yield* bundled
      const kube = yield* EmbeddedKube
      const credential = JSON.stringify({ kind: "ExecCredential", status: { token: "s3cret-token" } })
      const instance = yield* start(
        {
          ...demoSettings,
          KUBE_SOURCE: "kubeconfig",
          KUBECONFIG: kubeconfig(
            kube.url,
            { exec: { apiVersion: "client.authentication.k8s.io/v1", command: "/bin/echo", args: [credential] } },
            { "certificate-authority": file("ca.crt") }
          )
        },
        join(folder, "main.js")
      )
      const port = yield* instance.port
      yield* instance.printed("Ready")
      const path = "/namespaces/personal/deployments/nginx/replica_count"
      const write = yield* send(port, { client: "admin", path: `${path}/38`, method: "PUT" })
      assert.deepStrictEqual([write.status, write.body], [200, "{}"])
      const read = yield* send(port, { client: "viewer", path })
      assert.strictEqual(read.body, '{"namespace":"personal","deployment":"nginx","replica_count":38}')
      assert.strictEqual((yield* send(port, { client: "none", path })).status, 403)
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0)
      assert.notInclude(instance.output(), "s3cret-token")
    }).pipe(Effect.provide(tls))
  )
})
