import { describe, expect, it } from "@effect/vitest"
import { longText } from "../../src/cache/Body.ts"
import * as View from "../../src/cache/ClusterView.ts"
import * as ViewReads from "../../src/cache/ViewReads.ts"
import type { ClusterEvent } from "../../src/model/ClusterEvent.ts"
import { text } from "./Bodies.ts"
import * as Given from "./Given.ts"
import {
  applied,
  dep,
  deleted,
  deployment,
  deployments,
  withUndecodable,
  namespaceApplied,
  namespaceDeleted,
  namespaces,
  ns
} from "./Given.ts"

const after = (...events: ReadonlyArray<ClusterEvent>): View.ClusterView => events.reduce(View.apply, View.empty)

const replicas = (view: View.ClusterView, path: string): number | undefined =>
  ViewReads.getDeployment(view, Given.ref(path))?.replicas

const example = after(
  namespaces(20, "personal", "kube-system", "empty"),
  deployments(
    20,
    ["personal/resource-access", 2, 3],
    ["personal/nginx", 12, 5],
    ["personal/kafka", 3, 4],
    ["kube-system/coredns", 2, 6],
    ["kube-system/nginx", 1, 7]
  )
)

describe("bodies", () => {
  it("1: namespaces, sorted", () => {
    expect(text(ViewReads.namespacesBody(example))).toBe('{"namespaces":["empty","kube-system","personal"]}')
    expect(text(ViewReads.namespacesBody(View.empty))).toBe('{"namespaces":[]}')
  })

  it("2: a namespace's deployments, sorted; an empty list if it has none; no body if it does not exist", () => {
    expect(text(ViewReads.deploymentsBody(example, ns("personal")))).toBe(
      '{"namespace":"personal","deployments":["kafka","nginx","resource-access"]}'
    )
    expect(text(ViewReads.deploymentsBody(example, ns("empty")))).toBe('{"namespace":"empty","deployments":[]}')
    expect(ViewReads.deploymentsBody(example, ns("absent"))).toBe(undefined)
  })

  it("2A: the deployments of every namespace, also of an empty one", () => {
    expect(text(ViewReads.allDeploymentsBody(example))).toBe(
      '[{"namespace":"empty","deployments":[]},{"namespace":"kube-system","deployments":["coredns","nginx"]},' +
        '{"namespace":"personal","deployments":["kafka","nginx","resource-access"]}]'
    )
    expect(text(ViewReads.allDeploymentsBody(View.empty))).toBe("[]")
  })

  it("3: the replica count of a deployment; no body if it does not exist", () => {
    expect(ViewReads.replicaCountBody(example, ns("personal"), dep("nginx"))).toBe(
      '{"namespace":"personal","deployment":"nginx","replica_count":12}'
    )
    expect(ViewReads.replicaCountBody(example, ns("personal"), dep("coredns"))).toBe(undefined)
    expect(ViewReads.replicaCountBody(example, ns("absent"), dep("nginx"))).toBe(undefined)
  })

  it("3A: the replica counts of a namespace", () => {
    expect(text(ViewReads.replicaCountsBody(example, ns("kube-system")))).toBe(
      '{"namespace":"kube-system","deployments":[{"deployment":"coredns","replica_count":2},{"deployment":"nginx","replica_count":1}]}'
    )
    expect(text(ViewReads.replicaCountsBody(example, ns("empty")))).toBe('{"namespace":"empty","deployments":[]}')
    expect(ViewReads.replicaCountsBody(example, ns("absent"))).toBe(undefined)
  })

  it("3B: array of 3A bodies, one per namespace", () => {
    const bodies = ["empty", "kube-system", "personal"].map((name) =>
      text(ViewReads.replicaCountsBody(example, ns(name)))
    )
    expect(text(ViewReads.allReplicaCountsBody(example))).toBe(`[${bodies.join(",")}]`)
  })

  it("3C: array of 3 bodies, one per namespace that has it; no body if it exists nowhere", () => {
    const bodies = ["kube-system", "personal"].map((name) =>
      text(ViewReads.replicaCountBody(example, ns(name), dep("nginx")))
    )
    expect(text(ViewReads.replicaCountEverywhereBody(example, dep("nginx")))).toBe(`[${bodies.join(",")}]`)
    expect(text(ViewReads.replicaCountEverywhereBody(example, dep("kafka")))).toBe(
      '[{"namespace":"personal","deployment":"kafka","replica_count":3}]'
    )
    expect(ViewReads.replicaCountEverywhereBody(example, dep("absent"))).toBe(undefined)
  })

  it("sort names by code unit", () => {
    const names = ["b", "a", "a.b", "a-b", "a0", "ab", "0", "10", "9"]
    const view = after(namespaces(1, "ns"), deployments(2, ...names.map((name) => [`ns/${name}`, 1, 1] as const)))
    expect(text(ViewReads.deploymentsBody(view, ns("ns")))).toBe(
      '{"namespace":"ns","deployments":["0","10","9","a","a-b","a.b","a0","ab","b"]}'
    )
  })

  it("are rendered again only when their content changes", () => {
    const names = Array.from({ length: 1000 }, (_, index) => [`big/d${index}`, 1, 1] as const)
    const view = after(namespaces(1, "big", "other"), deployments(2, ...names, ["other/x", 1, 1]))
    const counts = ViewReads.allReplicaCountsBody(view)
    const list = ViewReads.deploymentsBody(view, ns("big"))
    expect(counts).toBeInstanceOf(Uint8Array)
    expect(counts.length).toBeGreaterThan(longText)
    expect(ViewReads.allReplicaCountsBody(view)).toBe(counts)
    const touched = View.apply(view, applied("big/d7", 1, 3))
    expect(ViewReads.allReplicaCountsBody(touched)).toBe(counts)
    const scaled = View.apply(touched, applied("big/d7", 2, 4))
    expect(ViewReads.allReplicaCountsBody(scaled)).not.toEqual(counts)
    expect(ViewReads.deploymentsBody(scaled, ns("big"))).toBe(list)
    expect(ViewReads.allReplicaCountsBody(view)).toBe(counts)
  })
})

describe("a namespace", () => {
  it("shows deployments that arrived before it", () => {
    const early = after(deployments(5, ["late/x", 4, 1]), namespaces(5, "other"))
    expect(ViewReads.hasNamespace(early, ns("late"))).toBe(false)
    expect(ViewReads.replicaCountBody(early, ns("late"), dep("x"))).toBe(undefined)
    expect(ViewReads.replicaCountEverywhereBody(early, dep("x"))).toBe(undefined)
    expect([early.namespaceCount, early.deploymentCount]).toEqual([1, 0])
    const shown = View.apply(early, namespaceApplied("late", 6))
    expect(replicas(shown, "late/x")).toBe(4)
    expect(text(ViewReads.replicaCountEverywhereBody(shown, dep("x")))).toBe(
      '[{"namespace":"late","deployment":"x","replica_count":4}]'
    )
    expect([shown.namespaceCount, shown.deploymentCount]).toEqual([2, 1])
  })

  it("hides its deployments when it is deleted", () => {
    const view = View.apply(example, namespaceDeleted("personal", 30))
    expect(ViewReads.replicaCountsBody(view, ns("personal"))).toBe(undefined)
    expect(ViewReads.replicaCountBody(view, ns("personal"), dep("nginx"))).toBe(undefined)
    expect(text(ViewReads.replicaCountEverywhereBody(view, dep("nginx")))).toBe(
      '[{"namespace":"kube-system","deployment":"nginx","replica_count":1}]'
    )
    expect(text(ViewReads.allDeploymentsBody(view))).not.toContain("personal")
  })
})

describe("a view never goes back", () => {
  it("ignores an older event", () => {
    expect(View.apply(example, applied("personal/nginx", 1, 4))).toBe(example)
    expect(View.apply(example, deleted("personal/nginx", 4))).toBe(example)
    expect(View.apply(example, namespaceDeleted("personal", 0))).toBe(example)
  })

  it("compares versions as numbers", () => {
    const view = View.apply(example, applied("personal/nginx", 13, 100))
    expect(replicas(View.apply(view, applied("personal/nginx", 1, 99)), "personal/nginx")).toBe(13)
  })

  it("treats a version that is not decimal as newer", () => {
    expect(replicas(View.apply(example, applied("personal/nginx", 1, "opaque")), "personal/nginx")).toBe(1)
  })

  it("ignores a late event of a deleted object, but not a later one", () => {
    const view = View.apply(example, deleted("personal/nginx", 30))
    expect(View.apply(view, applied("personal/nginx", 12, 5))).toBe(view)
    expect(View.apply(view, applied("personal/nginx", 12, 29))).toBe(view)
    expect(replicas(View.apply(view, applied("personal/nginx", 9, 31)), "personal/nginx")).toBe(9)
  })

  it("ignores an addition that arrives after its deletion", () => {
    const view = after(namespaces(1, "ns"), deployments(1), deleted("ns/x", 9), applied("ns/x", 3, 8))
    expect(replicas(view, "ns/x")).toBe(undefined)
  })

  it("applies an addition that arrives after an event of another object", () => {
    const view = after(namespaces(1, "ns"), deployments(1), applied("ns/b", 1, 9), applied("ns/a", 3, 8))
    expect(replicas(view, "ns/a")).toBe(3)
  })

  it("ignores a late event of an object that a list no longer contains", () => {
    const view = View.apply(example, deployments(40, ["personal/kafka", 3, 4]))
    expect(View.apply(view, applied("personal/nginx", 12, 39))).toBe(view)
    expect(replicas(View.apply(view, applied("personal/nginx", 12, 41)), "personal/nginx")).toBe(12)
  })

  it("remembers many deletions in bounded memory", () => {
    let view = after(namespaces(1, "ns"), deployments(1))
    for (let index = 0; index < 5000; index++) {
      view = View.apply(view, applied(`ns/d${index}`, 1, 10 + 2 * index))
      view = View.apply(view, deleted(`ns/d${index}`, 11 + 2 * index))
    }
    for (let index = 0; index < 5000; index += 250) {
      expect(View.apply(view, applied(`ns/d${index}`, 1, 10 + 2 * index))).toBe(view)
    }
    const { recent, older } = view.deploymentHistory
    expect(recent.size + older.size).toBeLessThanOrEqual(2048)
  })
})

describe("a relist", () => {
  it("replaces the list in one step, without an emptier view in between", () => {
    const view = View.apply(
      example,
      deployments(50, ["personal/nginx", 15, 45], ["personal/new", 1, 44], ["kube-system/coredns", 2, 6])
    )
    expect(text(ViewReads.allReplicaCountsBody(view))).toBe(
      '[{"namespace":"empty","deployments":[]},' +
        '{"namespace":"kube-system","deployments":[{"deployment":"coredns","replica_count":2}]},' +
        '{"namespace":"personal","deployments":[{"deployment":"new","replica_count":1},{"deployment":"nginx","replica_count":15}]}]'
    )
    expect(text(ViewReads.allReplicaCountsBody(example))).toContain("resource-access")
  })

  it("of the same objects renders nothing", () => {
    const items = [
      ["personal/resource-access", 2, 3],
      ["personal/nginx", 12, 5],
      ["personal/kafka", 3, 4],
      ["kube-system/coredns", 2, 6],
      ["kube-system/nginx", 1, 7]
    ] as const
    const view = View.apply(example, deployments(60, ...items))
    expect(view.namespaces).toBe(example.namespaces)
    expect(view.lists).toBe(example.lists)
  })

  it("takes the newer version of an object that is in two pages", () => {
    const view = after(namespaces(1, "ns"), deployments(9, ["ns/x", 2, 8], ["ns/x", 1, 7]))
    expect(replicas(view, "ns/x")).toBe(2)
  })

  it("of a cluster restored from a backup is accepted", () => {
    const written = View.written(
      View.apply(View.apply(example, applied("personal/nginx", 20, 1000)), deleted("personal/kafka", 1001)),
      deployment("kube-system/coredns", 9, 1002)
    )
    const restored = View.apply(
      written,
      deployments(500, ["personal/nginx", 12, 5], ["personal/kafka", 3, 4], ["kube-system/coredns", 2, 6])
    )
    expect(["personal/nginx", "personal/kafka", "kube-system/coredns"].map((path) => replicas(restored, path))).toEqual(
      [12, 3, 2]
    )
    expect(replicas(View.apply(restored, applied("personal/nginx", 7, 501)), "personal/nginx")).toBe(7)
  })

  it("makes the view synced with both lists, in either order", () => {
    const order = [namespaces(1), deployments(1)]
    expect(View.isSynced(after(...order.slice(0, 1)))).toBe(false)
    expect(View.isSynced(after(...order.slice(1)))).toBe(false)
    expect(View.isSynced(after(...order))).toBe(true)
    expect(View.isSynced(after(...order.toReversed()))).toBe(true)
  })
})

describe("read-your-writes", () => {
  const wrote = View.written(example, deployment("personal/nginx", 50, 100))

  it("shows the new count before the watch event arrives", () => {
    expect(ViewReads.replicaCountBody(wrote, ns("personal"), dep("nginx"))).toBe(
      '{"namespace":"personal","deployment":"nginx","replica_count":50}'
    )
    expect(text(ViewReads.replicaCountsBody(wrote, ns("personal")))).toContain(
      '{"deployment":"nginx","replica_count":50}'
    )
    expect(text(ViewReads.allReplicaCountsBody(wrote))).toContain('{"deployment":"nginx","replica_count":50}')
    expect(text(ViewReads.replicaCountEverywhereBody(wrote, dep("nginx")))).toContain('"replica_count":50')
  })

  it("is not reverted by an older watch event, but by a newer one", () => {
    expect(View.apply(wrote, applied("personal/nginx", 12, 99))).toBe(wrote)
    expect(View.apply(wrote, deleted("personal/nginx", 99))).toBe(wrote)
    expect(replicas(View.apply(wrote, applied("personal/nginx", 4, 101)), "personal/nginx")).toBe(4)
    expect(replicas(View.apply(wrote, deleted("personal/nginx", 101)), "personal/nginx")).toBe(undefined)
  })

  it("is not reverted by a list from before the write, but by one from after it", () => {
    const before = View.apply(wrote, deployments(90, ["personal/nginx", 12, 5]))
    expect(replicas(before, "personal/nginx")).toBe(50)
    expect(replicas(before, "personal/kafka")).toBe(undefined)
    const goneBefore = View.apply(wrote, deployments(90))
    expect(replicas(goneBefore, "personal/nginx")).toBe(50)
    expect(replicas(View.apply(before, deployments(120, ["personal/nginx", 8, 110])), "personal/nginx")).toBe(8)
    expect(replicas(View.apply(before, deployments(120)), "personal/nginx")).toBe(undefined)
  })

  it("is forgotten once its watch event confirms it", () => {
    const confirmed = View.apply(wrote, applied("personal/nginx", 50, 100))
    expect(replicas(confirmed, "personal/nginx")).toBe(50)
    expect(View.apply(confirmed, applied("personal/nginx", 50, 100))).toBe(confirmed)
    expect(replicas(View.apply(confirmed, deployments(90, ["personal/nginx", 12, 5])), "personal/nginx")).toBe(12)
  })

  it("ignores a write that is older than the last watch event", () => {
    const newer = View.apply(example, applied("personal/nginx", 4, 101))
    expect(View.written(newer, deployment("personal/nginx", 50, 100))).toBe(newer)
    const gone = View.apply(example, deleted("personal/nginx", 101))
    expect(View.written(gone, deployment("personal/nginx", 50, 100))).toBe(gone)
  })

  it("shows a deployment that only the write has reported", () => {
    const view = View.written(example, deployment("personal/new", 3, 100))
    expect(replicas(view, "personal/new")).toBe(3)
    expect(View.written(example, deployment("personal/old", 3, 19))).toBe(example)
  })
})

describe("read-your-writes in a namespace that is not known yet", () => {
  const wrote = View.written(example, deployment("later/web", 7, 100))
  const isShown = (view: View.ClusterView) => ViewReads.hasNamespace(view, ns("later"))
  const heard: ClusterEvent = { _tag: "Heard", resource: "namespaces" }

  it("shows the namespace in every body and count", () => {
    expect(text(ViewReads.namespacesBody(wrote))).toBe('{"namespaces":["empty","kube-system","later","personal"]}')
    expect(text(ViewReads.deploymentsBody(wrote, ns("later")))).toBe('{"namespace":"later","deployments":["web"]}')
    expect(text(ViewReads.replicaCountsBody(wrote, ns("later")))).toBe(
      '{"namespace":"later","deployments":[{"deployment":"web","replica_count":7}]}'
    )
    const one = '{"namespace":"later","deployment":"web","replica_count":7}'
    expect(ViewReads.replicaCountBody(wrote, ns("later"), dep("web"))).toBe(one)
    expect(text(ViewReads.replicaCountEverywhereBody(wrote, dep("web")))).toBe(`[${one}]`)
    expect(text(ViewReads.allDeploymentsBody(wrote))).toContain('{"namespace":"later","deployments":["web"]}')
    expect(text(ViewReads.allReplicaCountsBody(wrote))).toContain('{"namespace":"later",')
    expect([wrote.namespaceCount, wrote.deploymentCount]).toEqual([4, 6])
  })

  it("shows the other known deployments of the namespace", () => {
    const known = View.apply(example, applied("later/old", 2, 30))
    const view = View.written(known, deployment("later/web", 7, 100))
    expect(text(ViewReads.deploymentsBody(view, ns("later")))).toBe('{"namespace":"later","deployments":["old","web"]}')
    expect(view.deploymentCount).toBe(7)
  })

  it("shows the namespace if the event of the write arrived before its response", () => {
    const faster = View.apply(example, applied("later/web", 7, 100))
    expect(isShown(faster)).toBe(false)
    expect(isShown(View.written(faster, deployment("later/web", 7, 100)))).toBe(true)
  })

  it("does not show a namespace that was deleted after the write", () => {
    const gone = View.apply(example, namespaceDeleted("later", 101))
    expect(isShown(View.written(gone, deployment("later/web", 7, 100)))).toBe(false)
    expect(
      isShown(View.written(View.apply(example, namespaces(101, "personal")), deployment("later/web", 7, 100)))
    ).toBe(false)
    expect(isShown(View.written(gone, deployment("later/web", 7, 102)))).toBe(true)
  })

  it("is not changed by older events or by an older list, but by newer ones", () => {
    expect(View.apply(wrote, namespaceApplied("later", 99))).toBe(wrote)
    expect(View.apply(wrote, namespaceDeleted("later", 99))).toBe(wrote)
    expect(isShown(View.apply(wrote, namespaces(99, "personal")))).toBe(true)
    expect(isShown(View.apply(wrote, namespaceDeleted("later", 101)))).toBe(false)
    expect(isShown(View.apply(wrote, namespaces(101, "personal")))).toBe(false)
    expect(isShown(View.apply(wrote, namespaces(101, "personal", "later")))).toBe(true)
  })

  it("is not changed by the history of an earlier namespace of this name", () => {
    const earlier = [
      namespaceApplied("later", 60),
      namespaces(70, "personal", "later"),
      namespaceDeleted("later", 80),
      namespaces(90, "personal")
    ]
    expect(isShown(earlier.reduce(View.apply, wrote))).toBe(true)
  })

  it("does not protect the namespace once a newer event or list confirms it", () => {
    for (const confirmation of [namespaceApplied("later", 101), namespaces(101, "personal", "later")]) {
      const confirmed = View.apply(wrote, confirmation)
      expect(isShown(confirmed)).toBe(true)
      // As old as the last known version, so the cluster was restored.
      expect(isShown(View.apply(confirmed, namespaces(99, "personal")))).toBe(false)
    }
  })

  it("does not outlive a restore from a backup", () => {
    const later = View.apply(wrote, namespaceApplied("other", 1000))
    expect(isShown(View.apply(later, namespaces(90, "personal")))).toBe(false)
  })

  it("treats a version that is not decimal as newer", () => {
    expect(isShown(View.apply(wrote, namespaces("opaque", "personal")))).toBe(false)
    expect(isShown(View.apply(wrote, namespaceDeleted("later", "opaque")))).toBe(false)
  })

  describe("if namespaces are polled", () => {
    const polled = View.apply(View.emptyOf([ns("personal"), ns("later")]), namespaces(0, "personal"))
    const polledWrote = View.written(polled, deployment("later/web", 7, 100))

    it("ends with the second complete round that misses the namespace: the first may have begun before the write", () => {
      expect(isShown(polledWrote)).toBe(true)
      const first = View.apply(View.apply(polledWrote, namespaces(0, "personal")), heard)
      expect(isShown(first)).toBe(true)
      const second = View.apply(first, heard)
      expect(isShown(second)).toBe(false)
      expect([second.namespaceCount, second.deploymentCount]).toEqual([1, 0])
      expect(ViewReads.replicaCountEverywhereBody(second, dep("web"))).toBe(undefined)
      expect(View.apply(second, heard)).toBe(second)
    })

    it("begins anew with each write", () => {
      const again = View.written(View.apply(polledWrote, heard), deployment("later/web", 7, 100))
      expect(isShown(View.apply(again, heard))).toBe(true)
      expect(isShown(View.apply(View.apply(again, heard), heard))).toBe(false)
    })

    it("yields to a round that finds the namespace", () => {
      const found = View.apply(polledWrote, namespaces(0, "later", "personal"))
      expect(isShown([heard, heard, heard].reduce(View.apply, found))).toBe(true)
      expect(isShown(View.apply(found, namespaces(0, "personal")))).toBe(false)
    })

    it("does not count a Heard with a time", () => {
      const old: ClusterEvent = { ...heard, heardAt: 5 }
      expect([old, old, old].reduce(View.apply, polledWrote)).toBe(polledWrote)
    })
  })

  it("does not end with a Heard of a watch", () => {
    expect([heard, heard, heard].reduce(View.apply, wrote)).toBe(wrote)
  })
})

describe("a list with objects that cannot be decoded", () => {
  const count = (view: View.ClusterView) => replicas(view, "personal/nginx")
  const list = withUndecodable(deployments(40, ["personal/kafka", 3, 4]), "personal/nginx")
  const held = View.apply(example, list)

  it("keeps their last known state, also for several lists in a row", () => {
    expect(count(held)).toBe(12)
    expect(replicas(held, "personal/resource-access")).toBe(undefined)
    expect(text(ViewReads.deploymentsBody(held, ns("personal")))).toBe(
      '{"namespace":"personal","deployments":["kafka","nginx"]}'
    )
    const again = View.apply(
      View.apply(held, withUndecodable(deployments(50), "personal/nginx")),
      withUndecodable(deployments(60), "personal/nginx")
    )
    expect(count(again)).toBe(12)
    expect(count(View.apply(again, deployments(70)))).toBe(undefined)
  })

  it("shows nothing of an object that was not known before", () => {
    const view = View.apply(example, withUndecodable(deployments(40), "personal/unknown", "unknown/nginx"))
    expect(replicas(view, "personal/unknown")).toBe(undefined)
    expect(view.deploymentCount).toBe(0)
  })

  it("still applies later events of them", () => {
    expect(count(View.apply(held, applied("personal/nginx", 4, 41)))).toBe(4)
    expect(count(View.apply(held, deleted("personal/nginx", 41)))).toBe(undefined)
  })

  it("keeps a write, also one that is older than the list", () => {
    const wrote = View.written(example, deployment("personal/nginx", 50, 30))
    expect(count(View.apply(wrote, list))).toBe(50)
    expect(count(View.apply(View.written(example, deployment("personal/nginx", 50, 45)), list))).toBe(50)
  })

  it("of one namespace keeps those of that namespace", () => {
    const view = [
      namespaces(0, "a", "b"),
      Given.deploymentsOf("a", 5, ["a/x", 3, 1], ["a/y", 4, 1]),
      withUndecodable(Given.deploymentsOf("a", 9), "a/x")
    ].reduce(View.apply, View.emptyOf([ns("a"), ns("b")]))
    expect([replicas(view, "a/x"), replicas(view, "a/y")]).toEqual([3, undefined])
  })

  it("keeps namespaces, with their deployments", () => {
    const view = View.apply(example, withUndecodable(namespaces(40, "empty"), "personal", "unknown"))
    expect(text(ViewReads.namespacesBody(view))).toBe('{"namespaces":["empty","personal"]}')
    expect(count(view)).toBe(12)
    expect(ViewReads.hasNamespace(View.apply(view, namespaceDeleted("personal", 41)), ns("personal"))).toBe(false)
    expect(ViewReads.hasNamespace(View.apply(view, namespaces(50, "empty")), ns("personal"))).toBe(false)
  })

  it("of a cluster restored from a backup lets them change again", () => {
    const newer = View.apply(
      View.apply(example, applied("personal/nginx", 20, 1000)),
      namespaceApplied("personal", 1001)
    )
    const restored = View.apply(
      View.apply(newer, withUndecodable(deployments(500), "personal/nginx")),
      withUndecodable(namespaces(500), "personal")
    )
    expect(count(restored)).toBe(20)
    expect(count(View.apply(restored, applied("personal/nginx", 7, 501)))).toBe(7)
    expect(count(View.apply(restored, namespaceDeleted("personal", 501)))).toBe(undefined)
  })
})
