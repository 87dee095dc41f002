import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { readFileSync } from "node:fs"
import { stringify } from "yaml"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { decodeSeed, maxSeedBytes, SeedFile } from "../../src/embedded/SeedFile.ts"
import { maxProblems } from "../../src/settings/YamlFile.ts"

const decoded = (text: string) => decodeSeed("seed.yaml", text)

const problems = (text: string): ReadonlyArray<string> => {
  const result = decoded(text)
  assert(Result.isFailure(result), `accepted: ${text}`)
  return result.failure.problems
}

const encode = Schema.encodeSync(SeedFile)

const noNamespace = 'this can name no namespace: at most 63 lower-case letters, digits and "-"'
const noDeployment = 'this can name no deployment: at most 253 lower-case letters, digits, "-" and "."'

describe("a seed file", () => {
  it("has namespaces with deployments and their replica counts, in YAML or JSON", () => {
    const text = `
namespaces:
  personal: # YAML has comments.
    nginx: 12
    kafka.example: 0
  empty: {}
  absent:
`
    const seed = { personal: { nginx: 12, "kafka.example": 0 }, empty: {}, absent: {} }
    assert.deepStrictEqual<unknown>(Result.getOrThrow(decoded(text)), { namespaces: seed })
    assert.deepStrictEqual<unknown>(Result.getOrThrow(decoded(JSON.stringify({ namespaces: seed }))), {
      namespaces: seed
    })
  })

  it("may have no namespace", () => {
    assert.deepStrictEqual<unknown>(Result.getOrThrow(decoded("namespaces: {}")), { namespaces: {} })
  })

  it("reads names as text that YAML would read as other values", () => {
    const text = "namespaces:\n  1: { 2: 3 }\n  null: { true: 4 }\n  constructor: { 1.5: 5 }\n"
    assert.deepStrictEqual<unknown>(Result.getOrThrow(decoded(text)), {
      namespaces: { "1": { "2": 3 }, null: { true: 4 }, constructor: { "1.5": 5 } }
    })
  })

  it.prop("that is valid is decoded to what was written, from YAML and JSON", [SeedFile], ([seed]) => {
    for (const text of [stringify(encode(seed)), JSON.stringify(encode(seed))]) {
      assert.deepStrictEqual(Result.getOrThrow(decoded(text)), seed)
    }
  })

  it.each([
    {
      name: "an upper-case namespace",
      text: "namespaces:\n  Personal: {}\n",
      problem: `seed.yaml:2:3 namespaces.Personal: ${noNamespace}`
    },
    {
      name: "a namespace that is too long",
      text: `namespaces:\n  ${"x".repeat(64)}: {}\n`,
      problem: `seed.yaml:2:3 namespaces.${"x".repeat(64)}: ${noNamespace}`
    },
    { name: "ANY", text: "namespaces:\n  ANY: {}\n", problem: `seed.yaml:2:3 namespaces.ANY: ${noNamespace}` },
    {
      name: "a key of Object.prototype",
      text: "namespaces:\n  __proto__: { a: 1 }\n",
      problem: `seed.yaml:2:3 namespaces.__proto__: ${noNamespace}`
    },
    {
      name: "an upper-case deployment",
      text: "namespaces:\n  personal:\n    nginx: 1\n    Kafka: 3\n",
      problem: `seed.yaml:4:5 namespaces.personal.Kafka: ${noDeployment}`
    },
    {
      name: "a name with a line break",
      text: 'namespaces:\n  "a\\nforged": {}\n',
      problem: `seed.yaml:2:3 namespaces."a\\nforged": ${noNamespace}`
    },
    {
      name: "a negative count",
      text: "namespaces:\n  personal:\n    nginx: -1\n",
      problem: "seed.yaml:3:12 namespaces.personal.nginx: -1 is not a value between 0 and 2147483647"
    },
    {
      name: "a count beyond the range of Kubernetes",
      text: "namespaces: { personal: { nginx: 2147483648 } }",
      problem: "seed.yaml:1:34 namespaces.personal.nginx: 2147483648 is not a value between 0 and 2147483647"
    },
    {
      name: "a count that is not whole",
      text: "namespaces: { personal: { nginx: 1.5 } }",
      problem: "seed.yaml:1:34 1.5 is not a plain decimal number; put text in quotes"
    },
    {
      name: "a count as text",
      text: 'namespaces: { personal: { nginx: "3" } }',
      problem: 'seed.yaml:1:34 namespaces.personal.nginx: "3" is not a number'
    },
    {
      name: "no count",
      text: "namespaces:\n  personal:\n    nginx:\n",
      problem: "seed.yaml:3:11 namespaces.personal.nginx: null is not a number"
    },
    {
      name: "a deployment that is a mapping",
      text: "namespaces:\n  personal:\n    nginx: { replicas: 3 }\n",
      problem: 'seed.yaml:3:12 namespaces.personal.nginx: {"replicas":3} is not a number'
    },
    {
      name: "a namespace that is a list",
      text: "namespaces:\n  personal: [nginx]\n",
      problem: 'seed.yaml:2:13 namespaces.personal: ["nginx"] is not a mapping'
    },
    {
      name: "namespaces that are a list",
      text: "namespaces: [personal]",
      problem: 'seed.yaml:1:13 namespaces: ["personal"] is not a mapping'
    },
    {
      name: "no namespaces",
      text: "namespaces:\n",
      problem: "seed.yaml:1:12 namespaces: null is not a mapping"
    },
    {
      name: "namespaces at the top",
      text: "personal:\n  nginx: 12\n",
      problem: "seed.yaml:1:1 namespaces: is missing"
    },
    {
      name: "a misspelled key",
      text: "namespace:\n  personal:\n",
      problem: "seed.yaml:1:1 namespace: unknown key; did you mean namespaces?"
    },
    {
      name: "a namespace twice",
      text: "namespaces:\n  personal: {}\n  other: {}\n  personal: {}\n",
      problem: 'seed.yaml:4:3 the key "personal" is there twice'
    },
    {
      name: "a deployment twice, in JSON",
      text: '{"namespaces": {"personal": {\n  "nginx": 1,\n  "nginx": 2}}}',
      problem: 'seed.yaml:3:3 the key "nginx" is there twice'
    },
    { name: "an empty file", text: "", problem: "seed.yaml:1:1 the file is empty" },
    { name: "a broken text", text: '{"namespaces": [', problem: "seed.yaml:1:17 flow map must end with a }" }
  ])("is refused with line, column and field: $name", ({ problem, text }) => {
    assert.include(problems(text), problem)
  })

  it("is refused with all its problems, in the order of the file", () => {
    assert.deepStrictEqual(
      problems("namespaces:\n  personal:\n    nginx: -1\n    kafka: a\n  Other: {}\ncolour: red\n").map(
        (problem) => problem.split(" ")[0]
      ),
      ["seed.yaml:3:12", "seed.yaml:4:12", "seed.yaml:5:3", "seed.yaml:6:1"]
    )
  })

  it("is refused with a bounded number of problems, each in a short line", () => {
    const result = decoded(`namespaces:\n${Array.from({ length: 1000 }, (_, n) => `  A${n}: {}\n`).join("")}`)
    assert(Result.isFailure(result))
    assert.strictEqual(result.failure.problems.length, maxProblems)
    assert.strictEqual(result.failure.more, 1000 - maxProblems)
    const [long = ""] = problems(`namespaces:\n  ${"x".repeat(900)}: {}\n`)
    assert.isBelow(long.length, 200)
  })

  it("is refused if it is too large", () => {
    assert.deepStrictEqual(problems(`namespaces: {}\n#${"x".repeat(maxSeedBytes)}`), [
      `seed.yaml has more than ${maxSeedBytes} bytes`
    ])
  })

  it("can hold the demo cluster", () => {
    assert.deepStrictEqual<unknown>(
      Result.getOrThrow(decoded(stringify({ namespaces: demoSeed }))).namespaces,
      demoSeed
    )
  })

  it("accepts the examples of docs/testing.md", () => {
    const page = readFileSync(new URL("../../docs/testing.md", import.meta.url), "utf8")
    const examples = [...page.matchAll(/^namespaces:\n(?: .*\n)+/gm)].map(([text]) => decoded(text))
    assert.isNotEmpty(examples)
    assert.isTrue(examples.every(Result.isSuccess))
  })
})
