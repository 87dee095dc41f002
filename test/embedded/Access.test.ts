import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { readFileSync } from "node:fs"
import { demoAccess } from "../../src/embedded/Access.ts"
import { clusterAccess } from "../../src/authorization/ClusterAuthorization.ts"
import { decider } from "../../src/authorization/PolicyDecision.ts"
import { decodePolicy } from "../../src/authorization/PolicyFile.ts"
import { get, getMetrics, identity, listDeployments, listNamespaces, set } from "../authorization/Given.ts"

const text = readFileSync(new URL("../../deploy/demo/policy.yaml", import.meta.url), "utf8")

describe("the demo", () => {
  const decide = decider(Result.getOrThrow(decodePolicy("policy.yaml", text)))
  const reads = [
    listNamespaces,
    getMetrics,
    listDeployments("a"),
    listDeployments("ANY"),
    get("a", "b"),
    get("ANY", "ANY")
  ]
  for (const { may, who } of [
    { who: identity("admin", "platform"), may: { read: true, write: true } },
    { who: identity("admin"), may: { read: true, write: true } },
    { who: identity("somebody", "platform"), may: { read: true, write: true } },
    { who: identity("viewer", "readers"), may: { read: true, write: false } },
    { who: identity("nobody"), may: { read: false, write: false } }
  ]) {
    it(`lets ${who.user} (${who.groups.join()}) ${may.write ? "do everything" : may.read ? "read" : "do nothing"}, by policy and by RBAC`, () => {
      for (const access of [...reads, set("a", "b", 3)]) {
        const expected = access.verb === "set" ? may.write : may.read
        assert.strictEqual(decide(who, access), expected)
        const asked = clusterAccess(access)
        const { allowed } = demoAccess({
          user: who.user,
          groups: who.groups,
          ...("path" in asked
            ? { nonResourceAttributes: asked }
            : {
                resourceAttributes: {
                  verb: asked.verb,
                  group: asked.group,
                  resource: asked.resource,
                  ...(asked.subresource === undefined ? {} : { subresource: asked.subresource })
                }
              })
        })
        assert.strictEqual(allowed, expected)
      }
    })
  }
})
