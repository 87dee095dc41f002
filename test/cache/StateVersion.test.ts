import { describe, expect, it } from "@effect/vitest"
import * as View from "../../src/cache/ClusterView.ts"
import { isBehind, versionOf } from "../../src/cache/StateVersion.ts"
import type { Target } from "../../src/cache/Target.ts"
import * as Given from "./Given.ts"

const counts: Target = { _tag: "Counts", namespace: Given.ns("ns"), deployment: "ANY" }
const everywhere: Target = { _tag: "Counts", namespace: "ANY", deployment: "ANY" }

const listed = View.apply(View.apply(View.empty, Given.namespaces(40, "ns")), Given.deployments(50, ["ns/x", 1, 20]))

describe("the version of a state", () => {
  it("is that of its newest objects, which every watch reaches, and not that of a list", () => {
    expect(versionOf(listed, counts)).toBe("20.1")
  })

  it("includes a deletion, and a write that the watch has not confirmed", () => {
    const changed = View.apply(View.apply(listed, Given.applied("ns/y", 1, 60)), Given.deleted("ns/y", 61))
    expect(versionOf(changed, counts)).toBe("61.1")
    const written = View.written(changed, Given.deployment("ns/x", 2, 70))
    expect(versionOf(written, counts)).toBe("70.1")
    // Another instance has the version only once its watch has.
    expect(isBehind(written, counts, "70.1")).toBe(true)
    expect(isBehind(View.apply(written, Given.applied("ns/x", 2, 70)), counts, "70.1")).toBe(false)
  })

  it("is behind a newer version of deployments or of namespaces, and not behind its own", () => {
    expect(isBehind(listed, counts, "50.40")).toBe(false)
    expect(isBehind(listed, counts, "51.40")).toBe(true)
    expect(isBehind(listed, counts, "50.41")).toBe(true)
    for (const malformed of ["", "51", "x.y", "51.41.1", "-51.0", "9".repeat(30)]) {
      expect(isBehind(listed, counts, malformed)).toBe(false)
    }
  })

  it("leaves out namespaces that are polled, and is unknown for all of several watches", () => {
    let view = View.emptyOf([Given.ns("ns"), Given.ns("other")])
    view = View.apply(view, Given.namespaces("0", "ns", "other"))
    view = View.apply(view, Given.deploymentsOf("ns", 50, ["ns/x", 1, 20]))
    const version = versionOf(view, counts) ?? ""
    expect(version).toBe("20.")
    expect(isBehind(view, counts, version)).toBe(false)
    expect(isBehind(view, counts, "20.7")).toBe(false)
    expect(versionOf(view, everywhere)).toBeUndefined()
    expect(isBehind(view, everywhere, "99.99")).toBe(false)
  })
})
