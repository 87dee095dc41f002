import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { fromCertificate } from "../../src/identity/Identity.ts"
import { type AlternativeName, type Attribute, crafted } from "./CraftedCertificate.ts"

const identity = (subject: ReadonlyArray<Attribute>, alternativeNames: ReadonlyArray<AlternativeName> = []) =>
  fromCertificate(crafted({ subject, alternativeNames }))

const spiffeIds = (...alternativeNames: ReadonlyArray<AlternativeName>) =>
  identity([["CN", "user"]], alternativeNames)?.spiffeIds

describe("fromCertificate", () => {
  it("takes the CN as the user and each O as a group, in order", () => {
    const found = identity([
      ["O", "first"],
      ["OU", "not a group"],
      ["O", "second"],
      ["CN", "user"]
    ])
    assert.strictEqual(found?.user, "user")
    assert.deepStrictEqual(found?.groups, ["first", "second"])
    assert.strictEqual(found?.serialNumber, "07")
    assert.strictEqual(found?.issuer, "CN=issuer")
  })

  it("takes the last of several CNs, as Kubernetes does", () => {
    assert.strictEqual(
      identity([
        ["CN", "one"],
        ["O", "group"],
        ["CN", "two"]
      ])?.user,
      "two"
    )
  })

  it("gives no identity without a CN, or with an empty one", () => {
    assert.isUndefined(identity([["O", "group"]]))
    assert.isUndefined(identity([]))
    assert.isUndefined(identity([["CN", ""]]))
    assert.isUndefined(
      identity([
        ["CN", "user"],
        ["CN", ""]
      ])
    )
  })

  it("reads a text that looks like several attributes as one", () => {
    for (const text of ["user, O=system:masters", "user\nO=system:masters", "user+O=system:masters", 'u"s\\er/O=x']) {
      const found = identity([["CN", text]])
      assert.strictEqual(found?.user, text)
      assert.deepStrictEqual(found?.groups, [])
      assert.deepStrictEqual(
        identity([
          ["O", text],
          ["CN", "user"]
        ])?.groups,
        [text]
      )
    }
  })

  it("reads every string type and every script", () => {
    for (const value of [
      { utf8String: "Jürgen 柏" },
      { bmpString: "Jürgen 柏" },
      { universalString: "Jürgen 柏" },
      { printableString: "Jurgen" },
      { ia5String: "Jurgen" }
    ]) {
      const [written] = Object.values(value)
      assert.strictEqual(identity([["CN", value]])?.user, written)
    }
  })

  it("does not end a name at a zero character", () => {
    assert.strictEqual(identity([["CN", "admin\0.example"]])?.user, "admin\0.example")
  })

  it("does not take an e-mail address for a CN", () => {
    assert.strictEqual(
      identity([
        ["emailAddress", "CN=admin"],
        ["CN", "user"]
      ])?.user,
      "user"
    )
  })
})

describe("the SPIFFE IDs of fromCertificate", () => {
  it("are the spiffe:// URIs among the alternative names, in their order", () => {
    assert.deepStrictEqual(
      spiffeIds(
        { dNSName: "example.org" },
        { uniformResourceIdentifier: "spiffe://one.example/ns/a/sa/b" },
        { uniformResourceIdentifier: "https://example.org/" },
        { iPAddress: "127.0.0.1" },
        { uniformResourceIdentifier: "spiffe://two.example/c" },
        { rfc822Name: "a@example.org" }
      ),
      ["spiffe://one.example/ns/a/sa/b", "spiffe://two.example/c"]
    )
    assert.deepStrictEqual(spiffeIds(), [])
  })

  it("cannot be forged in the text of another alternative name", () => {
    const evil = "x, URI:spiffe://evil.example/admin"
    const good = { uniformResourceIdentifier: "spiffe://good.example/a" }
    for (const text of [
      evil,
      `x", URI:spiffe://evil.example/admin, DNS:"`,
      `x\\", URI:spiffe://evil.example/admin`,
      `x', URI:spiffe://evil.example/admin`,
      "x\0, URI:spiffe://evil.example/admin",
      "x\n, URI:spiffe://evil.example/admin"
    ]) {
      for (const kind of ["dNSName", "rfc822Name", "uniformResourceIdentifier"]) {
        assert.deepStrictEqual(spiffeIds({ [kind]: text }, good), [good.uniformResourceIdentifier], `${kind} ${text}`)
        assert.deepStrictEqual(spiffeIds(good, { [kind]: text }), [good.uniformResourceIdentifier], `${kind} ${text}`)
      }
    }
    assert.deepStrictEqual(
      spiffeIds({ uniformResourceIdentifier: "spiffe://a.example/x, URI:spiffe://evil.example/" }),
      []
    )
  })

  const Text = Schema.String.check(Schema.isPattern(/^[\0-\x7f]{0,12}$/))
  const Kinds = Schema.Literals(["dNSName", "rfc822Name", "uniformResourceIdentifier"])
  const Lead = Schema.Literals(["", "spiffe://", "x, URI:spiffe://", 'x", URI:spiffe://', "URI:spiffe://"])
  it.prop(
    "are the plain spiffe:// URIs and no others, for any alternative names",
    [Schema.Array(Schema.Struct({ kind: Kinds, lead: Lead, text: Text })).check(Schema.isMaxLength(5))],
    ([names]) => {
      const written = names.map(({ kind, lead, text }) => ({ [kind]: `${lead}${text}` }))
      const plain = names.flatMap(({ kind, lead, text }) => {
        const value = `${lead}${text}`
        return kind === "uniformResourceIdentifier" &&
          value.startsWith("spiffe://") &&
          /^[ -~]*$/.test(value) &&
          !/["\\,']/.test(value)
          ? [value]
          : []
      })
      assert.deepStrictEqual(spiffeIds(...written), plain)
    },
    { arbitrary: { runs: 300 } }
  )
})
