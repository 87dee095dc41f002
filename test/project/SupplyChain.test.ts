import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"

const root = new URL("../..", import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, root), "utf8")

const Versions = Schema.Record(Schema.String, Schema.String)
const Package = Schema.fromJsonString(
  Schema.Struct({
    dependencies: Versions,
    devDependencies: Versions.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
  })
)
const packageIn = (folder: string) => Schema.decodeUnknownSync(Package)(read(`${folder}package.json`))
const { dependencies, devDependencies } = packageIn("")
/** The folders with a lock file of their own. */
const folders = ["", "test/deploy/", "test/openapi/", "bench/frameworks/"]
const Sbom = Schema.fromJsonString(
  Schema.Struct({
    bomFormat: Schema.Literal("CycloneDX"),
    components: Schema.Array(
      Schema.Struct({
        name: Schema.String,
        version: Schema.String,
        purl: Schema.String,
        properties: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String }))
      })
    )
  })
)

describe("dependencies", () => {
  it("are pinned to exact versions", () => {
    for (const { dependencies, devDependencies } of folders.map(packageIn)) {
      for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
        assert.match(version, /^\d+\.\d+\.\d+(?:-[\w.]+)?$/, name)
      }
    }
  })

  it("of workflows are pinned to commits, with their versions", () => {
    const folder = new URL(".github/workflows/", root)
    const uses = readdirSync(folder).flatMap((name) => read(`.github/workflows/${name}`).match(/uses: .*/g) ?? [])
    assert.isNotEmpty(uses)
    for (const one of uses) assert.match(one, /^uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/)
  })

  it("are listed in docs/dependencies.md", () => {
    const page = read("docs/dependencies.md")
    for (const { dependencies, devDependencies } of folders.map(packageIn)) {
      for (const name of Object.keys({ ...dependencies, ...devDependencies })) assert.include(page, `\`${name}\``)
    }
  })

  it("are locked by a hash of their content, without the host of a registry", () => {
    const Lock = Schema.fromJsonString(
      Schema.Struct({
        packages: Schema.Record(
          Schema.String,
          Schema.Struct({ integrity: Schema.optional(Schema.String), resolved: Schema.optional(Schema.String) })
        )
      })
    )
    for (const folder of folders) {
      const { packages } = Schema.decodeUnknownSync(Lock)(read(`${folder}package-lock.json`))
      for (const [path, { integrity, resolved }] of Object.entries(packages)) {
        if (path === "") continue
        assert.match(integrity ?? "", /^sha512-/, path)
        assert.isUndefined(resolved, path)
      }
    }
  })

  it.live("are listed in the bill of materials, which marks those for development", () =>
    Effect.gen(function* () {
      const text = yield* Effect.callback<string, Error>((resume) => {
        execFile("make", ["-s", "sbom"], { cwd: root }, (error) =>
          resume(error === null ? Effect.succeed(read("dist/sbom.json")) : Effect.fail(error))
        )
      })
      const { components } = yield* Schema.decodeUnknownEffect(Sbom)(text)
      const listed = (name: string) => {
        const component = components.find((each) => each.name === name)
        const isDevelopment = component?.properties.some((each) => each.name === "cdx:npm:package:development")
        return component === undefined ? "missing" : `${component.version}${isDevelopment ? " (development)" : ""}`
      }
      for (const [name, version] of Object.entries(dependencies)) assert.strictEqual(listed(name), version, name)
      // The other development dependencies are also dependencies of what is shipped.
      for (const name of ["vitest", "oxlint", "prettier", "typescript"]) {
        assert.strictEqual(listed(name), `${devDependencies[name]} (development)`, name)
      }
    })
  )
})
