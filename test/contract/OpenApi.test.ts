import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { OpenApi } from "effect/http-api"
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Resources, WatcherApi } from "../../src/contract/Api.ts"
import { problems } from "../../src/contract/Problems.ts"
import { linkPackages, project, root, run, runExample, typeCheck } from "../support/Example.ts"
import { send } from "../support/Https.ts"
import { TestService } from "../support/TestService.ts"

const folder = join(root, "test/openapi")
const bin = join(folder, "node_modules/.bin")
const environment = { REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" }

/** The tools of test/openapi, installed from its lock file unless they are there. */
const tools = Effect.gen(function* () {
  const lock = readFileSync(join(folder, "package-lock.json"), "utf8")
  const mark = join(folder, "node_modules/.installed")
  if (existsSync(mark) && readFileSync(mark, "utf8") === lock) return
  yield* run("npm", ["ci", "--loglevel=error"], folder)
  writeFileSync(mark, lock)
})

/** A project with the document that a running service serves. */
class Project extends Context.Service<Project, string>()("test/Project") {
  static readonly layer = Layer.effect(
    Project,
    Effect.gen(function* () {
      yield* tools
      const { port } = yield* TestService
      const { body } = yield* send(port, { client: "viewer", path: "/openapi.json" })
      const made = yield* project(["fetch.ts"], {
        "openapi.json": body,
        "watcher.json": JSON.stringify(OpenApi.fromApi(WatcherApi))
      })
      for (const name of ["redocly.yaml", ".redocly.lint-ignore.yaml"]) {
        copyFileSync(join(folder, name), join(made, name))
      }
      yield* linkPackages(made, "undici", "@types/node")
      return made
    })
  )
}

interface Linted {
  readonly totals: { readonly errors: number; readonly warnings: number; readonly ignored: number }
}

describe("the OpenAPI document", () => {
  // On a new machine it downloads the tools.
  const options = { excludeTestServices: true, timeout: "5 minutes" } as const
  layer(
    Layer.provideMerge(Project.layer, TestService.layer()),
    options
  )((it) => {
    for (const [name, ignored] of [
      ["openapi.json", 1],
      ["watcher.json", 0]
    ] as const) {
      it.effect(`${name}: Redocly's recommended rules find no error and no warning`, () =>
        Effect.gen(function* () {
          const output = yield* run(join(bin, "redocly"), ["lint", name, "--format=json"], yield* Project, environment)
          const { totals }: Linted = JSON.parse(output)
          assert.deepStrictEqual(totals, { errors: 0, warnings: 0, ignored })
        })
      )
    }

    it.effect("openapi-typescript makes types with which the fetch example of docs/client.md compiles and runs", () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const made = yield* Project
        yield* run(join(bin, "openapi-typescript"), ["openapi.json", "--output", "openapi.ts"], made)
        yield* typeCheck(made)
        assert.strictEqual(
          yield* runExample(made, "fetch.ts", port),
          "nginx has 12 replicas\nNotFound: There is no deployment absent in namespace personal.\n"
        )
      })
    )

    it.effect("names every body, and requires every member that the service sends of a problem", () =>
      Effect.gen(function* () {
        const { components } = JSON.parse(readFileSync(join(yield* Project, "openapi.json"), "utf8"))
        assert.includeMembers(Object.keys(components.schemas), [
          "NamespaceList",
          "DeploymentList",
          "AllDeploymentLists",
          "DeploymentReplicaCount",
          "ReplicaCountsByNamespace",
          "NamespaceReplicaCounts",
          "AllReplicaCounts",
          "Empty"
        ])
        for (const code of Object.keys(problems).filter((code) => code !== "UnknownEndpoint")) {
          const { description, required } = components.schemas[code]
          const own = code === "PreconditionFailed" ? ["current"] : []
          assert.sameMembers(required, ["type", "title", "status", "detail", "instance", "code", ...own], code)
          assert.isNotEmpty(description, code)
        }
      })
    )

    it.effect("describes If-Match, dryRun and the current count of a failed precondition", () =>
      Effect.gen(function* () {
        const { components, paths } = JSON.parse(readFileSync(join(yield* Project, "openapi.json"), "utf8"))
        const put = paths["/namespaces/{namespace}/deployments/{deployment}/replica_count/{replica_count}"].put
        const parameter = (name: string) => put.parameters.find((one: { readonly name: string }) => one.name === name)
        assert.deepInclude(parameter("if-match"), { in: "header", required: false })
        assert.match('"12"', new RegExp(parameter("if-match").schema.pattern, "u"))
        assert.deepInclude(parameter("dryRun"), { in: "query", required: false })
        assert.deepStrictEqual(parameter("dryRun").schema.enum, ["All"])
        assert.includeMembers(Object.keys(put.responses), ["412", "428"])
        const { current } = components.schemas.PreconditionFailed.properties
        assert.deepInclude(current, { type: "integer", minimum: 0, maximum: 2_147_483_647 })
        assert.strictEqual(components.schemas.PreconditionFailed.examples[0].current, 13)
      })
    )

    it.effect("describes each read also as a conditional read and as a stream of events", () =>
      Effect.gen(function* () {
        const { components, paths } = JSON.parse(readFileSync(join(yield* Project, "openapi.json"), "utf8"))
        for (const { path } of Object.values(Resources.endpoints).filter(({ method }) => method === "GET")) {
          const { parameters, responses } = paths[path.replaceAll(/:([a-z]+)/g, "{$1}")].get
          assert.includeMembers(
            parameters.map(({ name }: { readonly name: string }) => name),
            ["if-none-match", "prefer", "last-event-id", "last-event-version"],
            path
          )
          assert.containsAllKeys(responses[200].headers, ["ETag", "Cache-Control", "Vary", "Age", "Preference-Applied"])
          assert.containsAllKeys(responses[304].headers, ["ETag", "Cache-Control", "Vary", "Age", "Preference-Applied"])
          assert.notProperty(responses[304], "content")
          assert.sameMembers(Object.keys(responses[200].content), ["application/json", "text/event-stream"])
          const events: ReadonlyArray<{ readonly properties: { readonly event: unknown; readonly data: unknown } }> =
            responses[200].content["text/event-stream"].schema.anyOf
          assert.deepStrictEqual(
            events.map(({ properties }) => properties.event),
            ["snapshot", "change", "end"].map((name) => ({ type: "string", enum: [name] }))
          )
          assert.deepInclude(events[0]?.properties.data, {
            contentMediaType: "application/json",
            contentSchema: responses[200].content["application/json"].schema
          })
        }
        assert.includeMembers(Object.keys(components.schemas), ["CountChange", "DeploymentChange", "NamespaceChange"])
      })
    )

    it.effect("has the patterns of names and the bounds of counts", () =>
      Effect.gen(function* () {
        const { components, paths } = JSON.parse(readFileSync(join(yield* Project, "openapi.json"), "utf8"))
        const { deployment, namespace, replica_count } = components.schemas.DeploymentReplicaCount.properties
        assert.deepInclude(namespace, { maxLength: 63, pattern: "^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$" })
        assert.match(deployment.pattern, /^\^\[a-z0-9\]/)
        assert.deepInclude(replica_count, { type: "integer", minimum: 0, maximum: 2_147_483_647 })
        const put = paths["/namespaces/{namespace}/deployments/{deployment}/replica_count/{replica_count}"].put
        for (const { description, name, schema } of put.parameters) {
          assert.isNotEmpty(schema.pattern ?? schema.enum, name)
          assert.isNotEmpty(schema.examples, name)
          assert.isNotEmpty(schema.description ?? description, name)
        }
      })
    )
  })
})
