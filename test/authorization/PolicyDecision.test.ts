import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { Access } from "../../src/authorization/Authorization.ts"
import { decodePolicy } from "../../src/authorization/PolicyFile.ts"
import { decider } from "../../src/authorization/PolicyDecision.ts"
import { get, getMetrics, identity, listDeployments, listNamespaces, set } from "./Given.ts"

const deciding = (...rules: ReadonlyArray<object>) =>
  decider(Result.getOrThrow(decodePolicy("policy.yaml", JSON.stringify({ rules }))))

const ann = identity("ann", "shop", "people")

/** Whether a rule for ann allows her this access. */
const may = (rule: object, access: Access): boolean => deciding({ subjects: { users: ["ann"] }, ...rule })(ann, access)

const all = { namespaces: ["*"], deployments: ["*"] }

describe("the subjects of a rule", () => {
  for (const [subjects, expected] of [
    [{ users: ["ann"] }, true],
    [{ users: ["an"] }, false],
    [{ users: ["ann", "bob"] }, true],
    [{ users: ["bob"] }, false],
    [{ users: ["an*"] }, true],
    [{ users: ["ann*"] }, true],
    [{ users: ["anna*"] }, false],
    [{ users: ["*"] }, true],
    [{ users: ["Ann"] }, false],
    [{ users: ["shop"] }, false],
    [{ groups: ["shop"] }, true],
    [{ groups: ["people"] }, true],
    [{ groups: ["ann"] }, false],
    [{ groups: ["peo*"] }, true],
    [{ users: ["bob"], groups: ["shop"] }, true],
    [{ users: ["ann"], groups: ["none"] }, true],
    [{ users: ["bob"], groups: ["none"] }, false]
  ] as const) {
    it(`${JSON.stringify(subjects)} ${expected ? "matches" : "does not match"} ann of shop and people`, () => {
      assert.strictEqual(deciding({ subjects, metrics: true })(ann, getMetrics), expected)
    })
  }

  it("the group pattern * does not match a user without groups", () => {
    const decide = deciding({ subjects: { groups: ["*"] }, metrics: true })
    assert.isFalse(decide(identity("ann"), getMetrics))
    assert.isTrue(decide(identity("ann", "any"), getMetrics))
  })
})

describe("a policy allows", () => {
  it("nothing without rules", () => {
    for (const access of [listNamespaces, getMetrics, listDeployments("a"), get("a", "b"), set("a", "b", 1)]) {
      assert.isFalse(deciding()(ann, access))
    }
  })

  it("only the verbs of a rule", () => {
    for (const verb of ["list", "get", "set"]) {
      const rule = { verbs: [verb], ...all }
      assert.strictEqual(may(rule, listNamespaces), verb === "list")
      assert.strictEqual(may(rule, listDeployments("a")), verb === "list")
      assert.strictEqual(may(rule, get("a", "b")), verb === "get")
      assert.strictEqual(may(rule, set("a", "b", 1)), verb === "set")
      assert.isFalse(may(rule, getMetrics))
      assert.isTrue(may({ ...rule, metrics: true }, getMetrics))
    }
  })

  it("listing namespaces only with list on all of them", () => {
    assert.isTrue(may({ verbs: ["list"], ...all }, listNamespaces))
    assert.isTrue(may({ verbs: ["list"], namespaces: ["*"], deployments: ["a"] }, listNamespaces))
    assert.isFalse(may({ verbs: ["list"], namespaces: ["a", "b*"], deployments: ["*"] }, listNamespaces))
  })

  it("listing a namespace's deployments only with list on all deployments", () => {
    const shop = { verbs: ["list"], namespaces: ["shop", "team-*"], deployments: ["*"] }
    assert.isTrue(may(shop, listDeployments("shop")))
    assert.isTrue(may(shop, listDeployments("team-a")))
    assert.isFalse(may(shop, listDeployments("team")))
    assert.isFalse(may(shop, listDeployments("shop-b")))
    assert.isFalse(may(shop, listDeployments("ANY")))
    assert.isFalse(may({ ...shop, deployments: ["a*"] }, listDeployments("shop")))
    assert.isTrue(may({ verbs: ["list"], ...all }, listDeployments("ANY")))
  })

  it("ANY only by the pattern *", () => {
    const named = { verbs: ["get"], namespaces: ["shop"], deployments: ["web", "api-*"] }
    assert.isTrue(may(named, get("shop", "web")))
    assert.isTrue(may(named, get("shop", "api-v1")))
    assert.isFalse(may(named, get("shop", "web2")))
    assert.isFalse(may(named, get("shop", "ANY")))
    assert.isFalse(may(named, get("ANY", "web")))
    assert.isTrue(may({ ...named, deployments: ["*"] }, get("shop", "ANY")))
    assert.isFalse(may({ ...named, deployments: ["*"] }, get("ANY", "ANY")))
    assert.isTrue(may({ ...named, namespaces: ["*"] }, get("ANY", "web")))
    assert.isFalse(may({ ...named, namespaces: ["*"] }, get("ANY", "ANY")))
    assert.isTrue(may({ verbs: ["get"], ...all }, get("ANY", "ANY")))
  })

  it("no access that needs several rules or patterns together", () => {
    const subjects = { users: ["ann"] }
    const decide = deciding(
      { subjects, verbs: ["get"], namespaces: ["*"], deployments: ["web"] },
      { subjects, verbs: ["get"], namespaces: ["shop"], deployments: ["*"] },
      {
        subjects,
        verbs: ["list"],
        namespaces: [..."abcdefghijklmnopqrstuvwxyz0123456789"].map((c) => `${c}*`),
        deployments: ["*"]
      }
    )
    assert.isTrue(decide(ann, get("ANY", "web")))
    assert.isTrue(decide(ann, get("shop", "ANY")))
    assert.isFalse(decide(ann, get("ANY", "ANY")))
    assert.isTrue(decide(ann, listDeployments("anything")))
    assert.isFalse(decide(ann, listDeployments("ANY")))
    assert.isFalse(decide(ann, listNamespaces))
  })

  it("a write of a rule with requireIfMatch only with a precondition", () => {
    const rule = { subjects: { users: ["ann"] }, verbs: ["get", "set"], ...all, requireIfMatch: true }
    const decide = deciding(rule)
    assert.isTrue(decide(ann, set("a", "b", 3)))
    assert.isTrue(decide(ann, set("a", "b", 3), true))
    assert.isFalse(decide(ann, set("a", "b", 3), false))
    assert.isTrue(decide(ann, get("a", "b"), false))
    assert.isFalse(decide(identity("bob"), set("a", "b", 3)))
  })

  it("a write without a precondition if another rule allows the same write without it", () => {
    const conditional = { subjects: { users: ["ann"] }, verbs: ["set"], ...all, requireIfMatch: true }
    const other = { subjects: { groups: ["shop"] }, verbs: ["set"], ...all, deployments: ["web*"], maxReplicas: 5 }
    for (const rules of [
      [conditional, other],
      [other, conditional],
      [conditional, { ...other, requireIfMatch: false }]
    ]) {
      const decide = deciding(...rules)
      assert.isTrue(decide(ann, set("a", "web", 5), false))
      assert.isFalse(decide(ann, set("a", "web", 6), false))
      assert.isFalse(decide(ann, set("a", "db", 5), false))
      for (const access of [set("a", "web", 5), set("a", "web", 6), set("a", "db", 5)]) {
        assert.isTrue(decide(ann, access, true))
      }
    }
  })

  it("only counts within the bounds of a single rule", () => {
    const rule = { verbs: ["set"], ...all, minReplicas: 2, maxReplicas: 5 }
    for (const [count, expected] of [
      [0, false],
      [1, false],
      [2, true],
      [5, true],
      [6, false],
      [2_147_483_647, false]
    ] as const) {
      assert.strictEqual(may(rule, set("a", "b", count)), expected)
    }
    assert.isTrue(may({ verbs: ["set"], ...all }, set("a", "b", 0)))
    assert.isTrue(may({ verbs: ["set"], ...all }, set("a", "b", 2_147_483_647)))
    const decide = deciding(
      { subjects: { users: ["ann"] }, ...rule },
      { subjects: { users: ["ann"] }, ...rule, minReplicas: 8, maxReplicas: 9 }
    )
    assert.isFalse(decide(ann, set("a", "b", 7)))
    assert.isTrue(decide(ann, set("a", "b", 8)))
  })

  it("no identity what only another may do", () => {
    const decide = deciding({ subjects: { users: ["ann"] }, metrics: true })
    assert.isTrue(decide(ann, getMetrics))
    assert.isFalse(decide(identity("bob", "shop"), getMetrics))
    assert.isTrue(decide(identity("ann"), getMetrics))
  })
})
