import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as State from "../../src/client/testing/ClusterState.ts"
import * as Changes from "../../src/contract/Changes.ts"
import { DeploymentName, NamespaceName, ReplicaCount } from "../../src/contract/Names.ts"
import * as Reads from "../../src/contract/Reads.ts"

const namespaceNames = ["a", "b", "c"].map((name) => NamespaceName.make(name))
const deploymentNames = ["k", "n", "n.x"].map((name) => DeploymentName.make(name))

/** The replica counts of each namespace, by the position of the deployment's name; none for a namespace that is absent. */
const Content = Schema.Array(
  Schema.NullOr(Schema.Array(Schema.NullOr(Schema.Literals([0, 1, 2]))).check(Schema.isMaxLength(3)))
).check(Schema.isMaxLength(3))

const namespacesOf = (content: typeof Content.Type): State.Namespaces =>
  new Map(
    namespaceNames.flatMap((namespace, at) => {
      const counts = content[at]
      if (counts === null || counts === undefined) return []
      const deployments = deploymentNames.flatMap((name, position) => {
        const count = counts[position]
        return count === null || count === undefined ? [] : [[name, ReplicaCount.make(count)] as const]
      })
      return [[namespace, new Map(deployments)] as const]
    })
  )

const [namespace = NamespaceName.make("a")] = namespaceNames
const [deployment = DeploymentName.make("k")] = deploymentNames

/** What a client makes of a body and items, both as they go over the wire. */
const after = <Body, Item>(
  read: {
    readonly body: Schema.ConstraintCodec<Body, unknown>
    readonly changes: Schema.ConstraintDecoder<ReadonlyArray<Item>>
    readonly apply: (body: Body, items: ReadonlyArray<Item>) => Body
  },
  body: unknown,
  items: unknown
): unknown => read.apply(Schema.decodeUnknownSync(read.body)(body), Schema.decodeUnknownSync(read.changes)(items))

const reads: ReadonlyArray<
  readonly [name: string, target: State.Target, after: (body: unknown, items: unknown) => unknown]
> = [
  ["namespaces", { _tag: "Namespaces" }, (body, items) => after(Reads.namespaces, body, items)],
  ["names of a namespace", { _tag: "Names", namespace }, (body, items) => after(Reads.deployments, body, items)],
  ["names of all", { _tag: "Names" }, (body, items) => after(Reads.allDeployments, body, items)],
  ["a count", { _tag: "Counts", namespace, deployment }, (body, items) => after(Reads.replicaCount, body, items)],
  ["counts of a namespace", { _tag: "Counts", namespace }, (body, items) => after(Reads.replicaCounts, body, items)],
  ["counts of all", { _tag: "Counts" }, (body, items) => after(Reads.allReplicaCounts, body, items)],
  ["counts of a name", { _tag: "Counts", deployment }, (body, items) => after(Reads.foundReplicaCounts, body, items)]
]

describe("a change", () => {
  for (const [name, target, applied] of reads) {
    it.prop(`of ${name}, applied to the body before, gives the body after`, [Content, Content], ([from, to]) => {
      const [before, next] = [namespacesOf(from), namespacesOf(to)]
      const [body, expected] = [State.bodyOf(before, target), State.bodyOf(next, target)]
      if (body === undefined || expected === undefined) return
      assert.deepStrictEqual(applied(body, State.itemsOf(before, next, target)), expected)
    })
  }

  it("applies items in their order: what follows the deletion of a namespace belongs to the new one", () => {
    const items = [{ namespace, deployment, replica_count: 1 }, { namespace, deleted: true }, { namespace }]
    const body = [{ namespace, deployments: [{ deployment: deploymentNames[1], replica_count: 2 }] }]
    assert.deepStrictEqual(after(Reads.allReplicaCounts, body, items), [{ namespace, deployments: [] }])
  })

  it("does not create a namespace for a deployment that was deleted", () => {
    const items = [{ namespace, deployment, deleted: true }]
    assert.deepStrictEqual(after(Reads.allDeployments, [], items), [])
    assert.deepStrictEqual(after(Reads.allReplicaCounts, [], items), [])
  })

  it("does not take a deployment's deletion for its namespace's", () => {
    const [item] = Schema.decodeUnknownSync(Changes.AllCountChanges)([{ namespace, deployment, deleted: true }])
    assert.deepStrictEqual(item, { namespace, deployment, deleted: true })
    assert.throws(() => Schema.decodeUnknownSync(Changes.AllCountChanges)([{ namespace, deployment }]))
  })

  it("ignores members that the client does not know", () => {
    const items = [{ namespace, deployment, replica_count: 2, since: "now" }]
    const body = { namespace, deployment, replica_count: 1 }
    assert.deepStrictEqual(after(Reads.replicaCount, body, items), { namespace, deployment, replica_count: 2 })
  })
})
