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

/** Trust in the authorities of some PEM texts, and their lists if any are given. */
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

/** What is thought of a client that sends its whole chain. */
const judge = (trust: ClientTrust, { cert }: Issued, at = now()) => {
  const [leaf, ...above] = parsed(cert)
  return leaf === undefined ? undefined : trust.judge(leaf, above, at)
}

const day = 86_400_000

describe("who is trusted", () => {
  it.live("whom an authority of the file has issued a certificate, while all of the chain is valid", () =>
    Effect.gen(function* () {
      const [root, other] = yield* Effect.all([authority("root"), authority("root")])
      const inner = yield* root.intermediate("inner")
      const innermost = yield* inner.intermediate("innermost")
      const near = yield* root.issue({ subject: "/CN=near", days: 2 })
      const far = yield* innermost.issue({ subject: "/CN=far", days: 60 })
      const trust = yield* trusting([other, root])

      assert.strictEqual(judge(trust, near)?.until, parsed(near.cert)[0]?.validToDate.getTime())
      // Longer than the authority's own certificate, which counts.
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

  it.live("not who left out an authority between, unless the file has it; not by that authority alone", () =>
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

  it.live("not whom a certificate has signed that is no authority's", () =>
    Effect.gen(function* () {
      const root = yield* authority("root")
      const pretender = yield* root.intermediate("pretender", false)
      assert.isUndefined(judge(yield* trusting([root]), yield* pretender.issue({ subject: "/CN=admin" })))
    })
  )

  it.live("what else a client sends does no harm, be it an authority with a key that nobody knows", () =>
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

describe("who is revoked", () => {
  it.live("whom a list of its issuer names, at each step of the chain", () =>
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
      // A serial number counts with its issuer alone.
      const others = yield* trusting(
        [root],
        [yield* root.revocationList({ revoked: [alice] }), yield* inner.revocationList()]
      )
      assert.isDefined(judge(others, alice))
    })
  )

  it.live("whoever no list of now tells of", () =>
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

  it.live("by the newest list of an authority, and by each of its parts", () =>
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
