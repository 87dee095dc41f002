import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Result } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { readFileSync } from "node:fs"
import type { Policy } from "../../src/authorization/Policy.ts"
import { decodePolicy, loadPolicy, maxPolicyBytes } from "../../src/authorization/PolicyFile.ts"
import { maxProblems } from "../../src/settings/YamlFile.ts"

const decoded = (text: string) => decodePolicy("policy.yaml", text)

const problems = (text: string): ReadonlyArray<string> => {
  const result = decoded(text)
  assert(Result.isFailure(result), `accepted: ${text}`)
  return result.failure.problems
}

/** A file of one rule with these fields and subjects. */
const ruleWith = (...fields: ReadonlyArray<string>) =>
  ["rules:", "  - subjects: { users: [ann] }", ...fields.map((field) => `    ${field}`), ""].join("\n")

const everything = ['namespaces: ["*"]', 'deployments: ["*"]']

describe("a policy file", () => {
  it("is decoded from YAML", () => {
    const text = `
# Who may do what.
rules:
  - description: The shop's people scale the shop.
    subjects:
      users: [ann, "team-*"]
      groups: [shop]
    verbs: [list, get, set]
    namespaces: [shop, shop-*]
    deployments: ["*"]
    minReplicas: 1
    maxReplicas: 20
  - subjects: { groups: ["*"] }
    metrics: true
`
    const rules: Policy["rules"] = [
      {
        description: "The shop's people scale the shop.",
        subjects: { users: ["ann", "team-*"], groups: ["shop"] },
        verbs: ["list", "get", "set"],
        namespaces: ["shop", "shop-*"],
        deployments: ["*"],
        minReplicas: 1,
        maxReplicas: 20
      },
      { subjects: { groups: ["*"] }, metrics: true }
    ]
    assert.deepStrictEqual(Result.getOrThrow(decoded(text)), { rules })
    assert.deepStrictEqual(Result.getOrThrow(decoded(JSON.stringify({ rules }, null, "\t"))), { rules })
  })

  it("may have no rules, which allows nothing", () => {
    assert.deepStrictEqual(Result.getOrThrow(decoded("rules: []")), { rules: [] })
  })

  it.each([
    {
      name: "an unknown verb",
      text: `rules:
  - subjects: { users: [ann] }
    metrics: true
  - subjects: { users: [bob] }
    verbs:
      - get
      - delete
    namespaces: ["*"]
    deployments: ["*"]
`,
      problem: 'policy.yaml:7:9 rules[1].verbs[1]: "delete" is not one of list, get, set'
    },
    {
      name: "a misspelled key",
      text: ruleWith("verb: [get]", "metrics: true"),
      problem: "policy.yaml:3:5 rules[0].verb: unknown key; did you mean verbs?"
    },
    {
      name: "a key in the wrong case",
      text: ruleWith("verbs: [set]", ...everything, "maxreplicas: 3"),
      problem: "policy.yaml:6:5 rules[0].maxreplicas: unknown key; did you mean maxReplicas?"
    },
    {
      name: "an unknown key",
      text: "rules: []\ncolour: red\n",
      problem: "policy.yaml:2:1 colour: unknown key; the known ones are rules"
    },
    {
      name: "a key of Object.prototype",
      text: "rules: []\n__proto__: { rules: [] }\n",
      problem: "policy.yaml:2:1 __proto__: unknown key; the known ones are rules"
    },
    { name: "no rules", text: "{}", problem: "policy.yaml:1:1 rules: is missing" },
    { name: "rules that are not a list", text: "rules: 3", problem: "policy.yaml:1:8 rules: 3 is not a list" },
    { name: "a list", text: "- rules", problem: 'policy.yaml:1:1 ["rules"] is not a mapping' },
    { name: "an empty file", text: "", problem: "policy.yaml:1:1 the file is empty" },
    { name: "only a comment", text: "# later\n", problem: "policy.yaml:1:1 the file is empty" },
    {
      name: "no subjects",
      text: "rules:\n  - metrics: true\n",
      problem: "policy.yaml:2:5 rules[0].subjects: is missing"
    },
    {
      name: "empty subjects",
      text: "rules:\n  - subjects: {}\n    metrics: true\n",
      problem: "policy.yaml:2:15 rules[0].subjects: nobody is named: name users or groups"
    },
    {
      name: "an empty list",
      text: "rules:\n  - subjects: { users: [] }\n    metrics: true\n",
      problem: "policy.yaml:2:24 rules[0].subjects.users: the list is empty"
    },
    {
      name: "an empty name",
      text: 'rules:\n  - subjects: { groups: [""] }\n    metrics: true\n',
      problem: 'policy.yaml:2:26 rules[0].subjects.groups[0]: "" can match nobody'
    },
    {
      name: "a number as a name",
      text: "rules:\n  - subjects: { users: [7] }\n    metrics: true\n",
      problem: "policy.yaml:2:25 rules[0].subjects.users[0]: 7 is not text: put it in quotes"
    },
    ...["007", "0o10", "0x10", "+1", "1e2", "1.0", "-0", ".5", ".inf"].map((spelling) => ({
      name: `a number that YAML 1.1 and 1.2 may read differently: ${spelling}`,
      text: ruleWith("verbs: [set]", ...everything, `maxReplicas: ${spelling}`),
      problem: `policy.yaml:6:18 ${spelling} is not a plain decimal number; put text in quotes`
    })),
    {
      name: "a * in the middle",
      text: ruleWith("verbs: [get]", 'namespaces: ["*-prod"]', 'deployments: ["*"]'),
      problem: 'policy.yaml:4:18 rules[0].namespaces[0]: "*-prod": a * stands only at the end'
    },
    {
      name: "ANY, which only paths have",
      text: ruleWith("verbs: [get]", "namespaces: [ANY]", 'deployments: ["*"]'),
      problem: 'policy.yaml:4:18 rules[0].namespaces[0]: "ANY" can be no namespace: write "*" for all'
    },
    {
      name: "an unquoted *, which is a YAML alias",
      text: ruleWith("verbs: [get]", "namespaces: [*]", 'deployments: ["*"]'),
      problem: 'policy.yaml:4:18 a * or & that is not in quotes begins an alias of YAML: write "*"'
    },
    {
      name: "a rule that allows nothing",
      text: ruleWith("description: nothing"),
      problem: "policy.yaml:2:5 rules[0]: this allows nothing: give it verbs, or metrics: true"
    },
    {
      name: "namespaces without verbs",
      text: ruleWith("metrics: true", "namespaces: [a]"),
      problem: "policy.yaml:4:17 rules[0].namespaces: means nothing without verbs"
    },
    {
      name: "verbs without namespaces",
      text: ruleWith("verbs: [list]", 'deployments: ["*"]'),
      problem: 'policy.yaml:2:5 rules[0]: namespaces is missing: verbs need it; write ["*"] for all'
    },
    {
      name: "verbs without deployments",
      text: ruleWith("verbs: [list]", 'namespaces: ["*"]'),
      problem: 'policy.yaml:2:5 rules[0]: deployments is missing: verbs need it; write ["*"] for all'
    },
    {
      name: "a bound without set",
      text: ruleWith("verbs: [get]", ...everything, "maxReplicas: 3"),
      problem: "policy.yaml:6:18 rules[0].maxReplicas: means nothing without the verb set"
    },
    {
      name: "requireIfMatch without set",
      text: ruleWith("verbs: [get]", ...everything, "requireIfMatch: true"),
      problem: "policy.yaml:6:21 rules[0].requireIfMatch: means nothing without the verb set"
    },
    {
      name: "requireIfMatch that is no boolean",
      text: ruleWith("verbs: [set]", ...everything, "requireIfMatch: 12"),
      problem: "policy.yaml:6:21 rules[0].requireIfMatch: 12 is neither true nor false"
    },
    {
      name: "a minimum above the maximum",
      text: ruleWith("verbs: [set]", ...everything, "minReplicas: 4", "maxReplicas: 3"),
      problem: "policy.yaml:6:18 rules[0].minReplicas: 4 is more than maxReplicas, 3: no count would be allowed"
    },
    {
      name: "a negative bound",
      text: ruleWith("verbs: [set]", ...everything, "minReplicas: -1"),
      problem: "policy.yaml:6:18 rules[0].minReplicas: -1 is not a whole number 0..2147483647"
    },
    {
      name: "a bound beyond the range of Kubernetes",
      text: ruleWith("verbs: [set]", ...everything, "maxReplicas: 2147483648"),
      problem: "policy.yaml:6:18 rules[0].maxReplicas: 2147483648 is not a whole number 0..2147483647"
    },
    {
      name: "a bound as text",
      text: ruleWith("verbs: [set]", ...everything, 'maxReplicas: "3"'),
      problem: 'policy.yaml:6:18 rules[0].maxReplicas: "3" is not a number'
    },
    {
      name: "yes instead of true",
      text: ruleWith("metrics: yes"),
      problem: 'policy.yaml:3:14 rules[0].metrics: "yes" is neither true nor false'
    },
    {
      name: "a duplicate key",
      text: ruleWith("metrics: true", "metrics: false"),
      problem: 'policy.yaml:4:5 the key "metrics" is there twice'
    },
    {
      name: "a duplicate key in JSON",
      text: '{"rules": [],\n "rules": []}',
      problem: 'policy.yaml:2:2 the key "rules" is there twice'
    },
    {
      name: "an alias",
      text: "rules:\n  - subjects: &all { users: [ann] }\n    metrics: true\n  - subjects: *all\n    metrics: true\n",
      problem: "policy.yaml:4:15 the alias *all is not taken: write its value"
    },
    {
      name: "a second document",
      text: "rules: []\n---\nrules: []\n",
      problem: "policy.yaml:2:1 a second document begins: only one is taken"
    },
    { name: "a tag", text: "rules: !!set { a }\n", problem: "policy.yaml:1:8 tags of YAML (!) are not taken" },
    {
      name: "a truncated text",
      text: '{"rules": [',
      problem: "policy.yaml:1:12 flow map must end with a }"
    }
  ])("is refused with line, column and field: $name", ({ problem, text }) => {
    assert.include(problems(text), problem)
  })

  it.each(["-x", "x-", "Shop", "a.b", "a_b", "", "a.*", "-*", "x".repeat(64), `${"x".repeat(64)}*`])(
    "is rejected for a pattern that can match no namespace: %j",
    (pattern) => {
      const [problem = ""] = problems(
        ruleWith("verbs: [get]", `namespaces: [${JSON.stringify(pattern)}]`, 'deployments: ["*"]')
      )
      assert.include(problem, "policy.yaml:4:18 rules[0].namespaces[0]:")
      assert.include(problem, "can match no namespace")
    }
  )

  it.each(["-x", "x.", "Shop", "a..b", "a_b", "", ".*", "a..*", "x".repeat(254), `${"x".repeat(254)}*`])(
    "is rejected for a pattern that can match no deployment: %j",
    (pattern) => {
      const [problem = ""] = problems(
        ruleWith("verbs: [get]", 'namespaces: ["*"]', `deployments: [${JSON.stringify(pattern)}]`)
      )
      assert.include(problem, "policy.yaml:5:19 rules[0].deployments[0]:")
      assert.include(problem, "can match no deployment")
    }
  )

  it.each(["x", "x*", "x-*", "*", "0", "x".repeat(63), `${"x".repeat(63)}*`])(
    "accepts a pattern that can match a namespace: %j",
    (pattern) => {
      assert.isTrue(
        Result.isSuccess(
          decoded(ruleWith("verbs: [get]", `namespaces: [${JSON.stringify(pattern)}]`, 'deployments: ["a.*", "a.b"]'))
        )
      )
    }
  )

  it("is rejected with all its problems, in the order of the file", () => {
    assert.deepStrictEqual(
      problems(`rules:
  - subjects: { user: [ann] }
    verbs: [read]
    namespaces: [a]
    deployments: ["*x"]
  - verbs: [get]
    namespaces: ["*"]
    deployments: ["*"]
`),
      [
        "policy.yaml:2:17 rules[0].subjects.user: unknown key; did you mean users?",
        'policy.yaml:3:13 rules[0].verbs[0]: "read" is not one of list, get, set',
        'policy.yaml:5:19 rules[0].deployments[0]: "*x": a * stands only at the end',
        "policy.yaml:6:5 rules[1].subjects: is missing"
      ]
    )
  })

  it("is rejected with a bounded number of problems, each in a short line", () => {
    const result = decoded(`rules:\n${"  - {}\n".repeat(1000)}`)
    assert(Result.isFailure(result))
    assert.strictEqual(result.failure.problems.length, maxProblems)
    assert.strictEqual(result.failure.more, 1000 - maxProblems)
    const [long = ""] = problems(ruleWith("metrics: true", `verbs: "${"x".repeat(5000)}\\nforged"`))
    assert.isBelow(long.length, 200)
    assert.notInclude(long, "\n")
  })

  it("is rejected if it is too large or nested too deeply", () => {
    assert.deepStrictEqual(problems(`rules: []\n#${"x".repeat(maxPolicyBytes)}`), [
      `policy.yaml has more than ${maxPolicyBytes} bytes`
    ])
    for (const text of ["[".repeat(100_000), "{a: ".repeat(50_000), "- ".repeat(100_000), "? ".repeat(100_000)]) {
      assert.include(problems(text)[0], "policy.yaml:1:")
    }
  })

  it("does not expand aliases of aliases", () => {
    const levels = Array.from({ length: 30 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}, *a${n}, *a${n}, *a${n}]`)
    const found = problems(["a0: &a0 [x]", ...levels].join("\n"))
    assert.include(found[0], "the alias *a0 is not taken")
  })

  it("accepts the examples of docs/authorization.md", () => {
    const page = readFileSync(new URL("../../docs/authorization.md", import.meta.url), "utf8")
    const examples = [...page.matchAll(/```yaml\n(rules:\n[^`]*)```/g)].map(([, text = ""]) => decoded(text))
    assert.isNotEmpty(examples)
    assert.isTrue(examples.every(Result.isSuccess))
  })

  it.effect("is read from a file; a missing, unreadable or too large one is reported", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* fileSystem.makeTempDirectoryScoped()
      const file = `${folder}/policy.yaml`
      const error = (path: string) => Effect.map(Effect.flip(loadPolicy(path)), ({ message }) => message)
      assert.strictEqual(yield* error(file), "there is no such file")
      yield* fileSystem.writeFileString(file, "rules: []")
      assert.deepStrictEqual(yield* loadPolicy(file), { rules: [] })
      yield* fileSystem.writeFileString(file, "#".repeat(maxPolicyBytes + 1))
      assert.strictEqual(yield* error(file), `policy.yaml has more than ${maxPolicyBytes} bytes`)
      assert.include(yield* error(folder), "cannot be read")
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
