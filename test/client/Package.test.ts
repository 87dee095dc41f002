import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import packageJson from "../../package.json" with { type: "json" }
import { linkPackages, project, root, run, runExample, typeCheck } from "../support/Example.ts"
import { TestService } from "../support/TestService.ts"

/** A project outside the repository, with the packed client installed and its two peers linked. */
class Project extends Context.Service<Project, string>()("test/Project") {
  static readonly layer = Layer.effect(
    Project,
    Effect.gen(function* () {
      const dist = mkdtempSync(join(tmpdir(), "kube-resource-api-client-"))
      yield* run("node", [join(root, "scripts/client.ts"), dist], root)
      const folder = yield* project(["scale.ts", "follow.ts", "changes.ts", "testing.ts"])
      const words = ["install", join(dist, "kube-resource-api-client.tgz"), "--offline", "--ignore-scripts"]
      // The peers are there: npm is not to ask a registry for them.
      yield* run("npm", [...words, "--legacy-peer-deps", "--no-audit", "--no-fund"], folder)
      yield* linkPackages(folder, "effect", "@effect/platform-node", "@types/node")
      return folder
    })
  )
}

describe("the packed client", () => {
  layer(Layer.merge(Project.layer, TestService.layer()), { excludeTestServices: true })((it) => {
    it.effect("installs alone, and the examples of docs/client.md type-check", () => Effect.flatMap(Project, typeCheck))

    it.effect("sets and reads a replica count of a running service", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        assert.match(yield* runExample(yield* Project, "scale.ts", port), /nginx has 38 replicas/)
      })
    )

    it.effect("follows a replica count of a running service", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        assert.match(
          yield* runExample(yield* Project, "follow.ts", port),
          /kafka has 3 replicas[^]*kafka has 4 replicas/
        )
      })
    )

    it.effect("asks a running service for changes", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        assert.match(yield* runExample(yield* Project, "changes.ts", port), /3 namespaces, unchanged/)
      })
    )

    it.effect("runs over a cluster in memory", () =>
      Effect.gen(function* () {
        yield* runExample(yield* Project, "testing.ts", 0)
      })
    )

    it.effect("has two peers, no dependencies, and the version of the service", () =>
      Effect.gen(function* () {
        const path = join(yield* Project, "node_modules/kube-resource-api-client/package.json")
        const manifest: unknown = JSON.parse(readFileSync(path, "utf8"))
        assert.deepInclude(manifest, {
          version: packageJson.version,
          peerDependencies: { "@effect/platform-node": "~4.1.0", effect: "~4.1.0" }
        })
        assert.notProperty(manifest, "dependencies")
      })
    )
  })
})
