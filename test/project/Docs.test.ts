import { assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { markdown } from "../../src/settings/Settings.ts"

const root = new URL("../..", import.meta.url).pathname
const pages = ["README.md", ...globSync("docs/*.md", { cwd: root })]
const read = (page: string): string => readFileSync(join(root, page), "utf8")
const words = (text: string): string => text.replaceAll(/[|\s-]+/g, " ")

describe("documentation", () => {
  for (const page of pages) {
    it(`${page}: its links lead to files that exist`, () => {
      for (const [, target = ""] of read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
        assert.isTrue(existsSync(join(root, dirname(page), target)), target)
      }
    })
  }

  it("docs/security.md names tests that exist", () => {
    const table = read("docs/security.md")
      .split("\n")
      .filter((line) => line.startsWith("|"))
    const lastColumn = table.map((line) => line.split("|").at(-2) ?? "").join(" ")
    const named = Array.from(lastColumn.matchAll(/`(\w+\/[\w*]+)`/g))
    assert.isAbove(named.length, 10)
    for (const [, name = ""] of named) {
      assert.isNotEmpty(globSync(`test/${name}.test.ts`, { cwd: root }), name)
    }
  })

  it("docs/configuration.md has the tables of the settings", () => {
    assert.include(words(read("docs/configuration.md")), words(markdown()))
  })
})
