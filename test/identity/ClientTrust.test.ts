import { AlgorithmIdentifier, SubjectPublicKeyInfo } from "@peculiar/asn1-x509"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { X509Certificate } from "node:crypto"
import { type ClientTrust, make } from "../../src/identity/ClientTrust.ts"
import { decode } from "../../src/identity/RevocationList.ts"
import { authority, type Issued } from "../support/Authority.ts"
import { crafted } from "./CraftedCertificate.ts"

const parsed = (pem: string) =>
  pem
    .split(/(?=-----BEGIN)/)
    .filter((block) => block.trim() !== "")
    .map((block) => new X509Certificate(block))

/** Trust in some authorities, with their lists if given. */
const trusting = (authorities: ReadonlyArray<Issued>, lists?: ReadonlyArray<string>) =>
  Effect.map(
    lists === undefined ? Effect.undefined : Effect.forEach(lists, (pem) => Effect.fromResult(decode(pem))),
    (read) =>
      make(
        authorities.flatMap(({ cert }) => parsed(cert)),
        read
      )
  )

const now = () => Date.now()

/** The verdict on a client that sends its whole chain. */
const judge = (trust: ClientTrust, { cert }: Issued, at = now()) => {
  const [leaf, ...above] = parsed(cert)
  return leaf === undefined ? undefined : trust.judge(leaf, above, at)
}

const day = 86_400_000

describe("ClientTrust without revocation lists", () => {
  it.live("trusts a certificate of an authority in the file, while the whole chain is valid", () =>
    Effect.gen(function* () {
      const [root, other] = yield* Effect.all([authority("root"), authority("root")])
      const inner = yield* root.intermediate("inner")
      const innermost = yield* inner.intermediate("innermost")
      const near = yield* root.issue({ subject: "/CN=near", days: 2 })
      const far = yield* innermost.issue({ subject: "/CN=far", days: 60 })
      const trust = yield* trusting([other, root])

      assert.strictEqual(judge(trust, near)?.until, parsed(near.cert)[0]?.validToDate.getTime())
      // The authority's own certificate expires before this one.
      assert.strictEqual(judge(trust, far)?.until, parsed(root.cert)[0]?.validToDate.getTime())
      assert.deepStrictEqual(
        judge(trust, far)?.intermediates.map(({ subject }) => subject),
        ["CN=innermost", "CN=inner"]
      )
      assert.isUndefined(judge(trust, near, now() + 3 * day))
      assert.isUndefined(judge(trust, near, now() - day))
      assert.isUndefined(judge(trust, far, now() + 31 * day))
      assert.isUndefined(judge(trust, yield* authority("root")))
      assert.isUndefined(judge(yield* trusting([other]), near))
      assert.isUndefined(judge(yield* trusting([other]), far))
    })
  )

  it.live(
    "does not trust a chain with a missing intermediate, unless the file has it, nor an intermediate as an anchor",
    () =>
      Effect.gen(function* () {
        const root = yield* authority("root")
        const inner = yield* root.intermediate("inner")
        const client = yield* inner.issue({ subject: "/CN=client" })
        const [leaf] = parsed(client.cert)
        const alone = { ...client, cert: leaf?.toString() ?? "" }
        assert.isUndefined(judge(yield* trusting([root]), alone))
        assert.isDefined(judge(yield* trusting([inner, root]), alone))
        assert.isUndefined(judge(yield* trusting([inner]), client))
      })
  )

  it.live("does not trust a certificate that was signed with a non-CA certificate", () =>
    Effect.gen(function* () {
      const root = yield* authority("root")
      const pretender = yield* root.intermediate("pretender", false)
      assert.isUndefined(judge(yield* trusting([root]), yield* pretender.issue({ subject: "/CN=admin" })))
    })
  )

  it.live("ignores other certificates that a client sends, also an authority with an unknown kind of key", () =>
    Effect.gen(function* () {
      const root = yield* authority("issuer")
      const client = yield* root.issue({ subject: "/CN=client" })
      const strange = crafted({
        subject: [["CN", "issuer"]],
        isAuthority: true,
        publicKey: new SubjectPublicKeyInfo({
          algorithm: new AlgorithmIdentifier({ algorithm: "1.2.3.4" }),
          subjectPublicKey: new ArrayBuffer(8)
        })
      })
      const [leaf] = parsed(client.cert)
      if (leaf === undefined) return assert.fail("no certificate")
      const trust = yield* trusting([root])
      assert.isDefined(trust.judge(leaf, [strange], now()))
      assert.isUndefined((yield* trusting([yield* authority("other")])).judge(leaf, [strange], now()))
    })
  )
})

describe("ClientTrust with revocation lists", () => {
  it.live("rejects a certificate on its issuer's list, at each step of the chain", () =>
    Effect.gen(function* () {
      const root = yield* authority("root")
      const inner = yield* root.intermediate("inner")
      const [alice, bob] = yield* Effect.all([
        inner.issue({ subject: "/CN=alice" }),
        inner.issue({ subject: "/CN=bob" })
      ])
      const ofRoot = yield* root.revocationList()
      const trust = yield* trusting([root], [ofRoot, yield* inner.revocationList({ revoked: [alice] })])
      assert.isUndefined(judge(trust, alice))
      assert.isDefined(judge(trust, bob))
      const without = yield* trusting(
        [root],
        [yield* root.revocationList({ revoked: [inner] }), yield* inner.revocationList()]
      )
      assert.isUndefined(judge(without, bob))
      // A serial number is unique only for its issuer.
      const others = yield* trusting(
        [root],
        [yield* root.revocationList({ revoked: [alice] }), yield* inner.revocationList()]
      )
      assert.isDefined(judge(others, alice))
    })
  )

  it.live("rejects a certificate whose issuer has no current list", () =>
    Effect.gen(function* () {
      const root = yield* authority("root")
      const client = yield* root.issue({ subject: "/CN=client" })
      const seconds = Math.floor(now() / 1000)
      const current = yield* root.revocationList({ nextUpdate: seconds + 3600 })
      const trust = yield* trusting([root], [current])
      assert.strictEqual(judge(trust, client)?.until, (seconds + 3600) * 1000)
      assert.isUndefined(judge(trust, client, (seconds + 3600) * 1000))
      assert.isUndefined(judge(yield* trusting([root], []), client))
      assert.isUndefined(judge(yield* trusting([root], [yield* (yield* authority("root")).revocationList()]), client))
      const later = yield* root.revocationList({ thisUpdate: seconds + 3600, nextUpdate: seconds + 7200 })
      assert.isUndefined(judge(yield* trusting([root], [later]), client))
    })
  )

  it.live("uses the newest list of an authority, and of each partition", () =>
    Effect.gen(function* () {
      const root = yield* authority("root")
      const client = yield* root.issue({ subject: "/CN=client" })
      const seconds = Math.floor(now() / 1000)
      const older = yield* root.revocationList({ revoked: [client], thisUpdate: seconds - 7200 })
      const newer = yield* root.revocationList({ thisUpdate: seconds - 3600 })
      for (const lists of [
        [older, newer],
        [newer, older]
      ]) {
        assert.isDefined(judge(yield* trusting([root], lists), client))
      }
      const part = (name: string, revoked: ReadonlyArray<Issued>) =>
        root.revocationList({
          revoked,
          extensions: [
            "issuingDistributionPoint = critical,@point",
            "[point]",
            `fullname = URI:http://list.example/${name}`
          ]
        })
      assert.isUndefined(judge(yield* trusting([root], [yield* part("1", [client]), yield* part("2", [])]), client))
      assert.isUndefined(judge(yield* trusting([root], [yield* part("1", []), yield* part("2", [client])]), client))
    })
  )
})
