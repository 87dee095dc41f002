import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { X509Certificate } from "node:crypto"
import { decode, pemBlocks } from "../../src/identity/RevocationList.ts"
import { authority } from "../support/Authority.ts"

const keyOf = (cert: string) => new X509Certificate(cert).publicKey

describe("RevocationList.decode", () => {
  it.live("gives times, signer and revoked serial numbers in Node's form", () =>
    Effect.gen(function* () {
      const [own, other] = yield* Effect.all([authority("same name"), authority("same name")])
      const client = yield* own.issue({ subject: "/CN=client" })
      const pem = yield* own.revocationList({
        revoked: [client, "01", "0A", "00FF02", "7F0000000000000000000000000000000000FF01"],
        thisUpdate: 1_780_000_000,
        nextUpdate: 1_790_000_000
      })
      const list = yield* Effect.fromResult(decode(pem))
      assert.strictEqual(list.thisUpdate, 1_780_000_000_000)
      assert.strictEqual(list.nextUpdate, 1_790_000_000_000)
      assert.isTrue(list.isSignedBy(keyOf(own.cert)))
      assert.isFalse(list.isSignedBy(keyOf(other.cert)))
      assert.isTrue(list.revokes(new X509Certificate(client.cert).serialNumber))
      for (const serial of ["01", "0A", "FF02", "7F0000000000000000000000000000000000FF01"]) {
        assert.isTrue(list.revokes(serial), serial)
      }
      for (const serial of ["02", "A0", "FF", "FF0200", "-01"]) assert.isFalse(list.revokes(serial), serial)
    })
  )

  it.live("gives a list without a signer if it was changed after signing", () =>
    Effect.gen(function* () {
      const own = yield* authority("own")
      const pem = yield* own.revocationList({ revoked: ["0102030405060708"] })
      const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64")
      const serial = der.indexOf(Buffer.from("0102030405060708", "hex"))
      der[serial] = 9
      const list = yield* Effect.fromResult(
        decode(`-----BEGIN X509 CRL-----\n${der.toString("base64")}\n-----END X509 CRL-----`)
      )
      assert.isFalse(list.revokes("0102030405060708"))
      assert.isFalse(list.isSignedBy(keyOf(own.cert)))
    })
  )

  it.live("reads a long list", () =>
    Effect.gen(function* () {
      const own = yield* authority("own")
      const revoked = Array.from({ length: 5000 }, (_, at) => (0x1000 + at).toString(16).toUpperCase())
      const list = yield* Effect.fromResult(decode(yield* own.revocationList({ revoked })))
      assert.isTrue(revoked.every((serial) => list.revokes(serial)))
    })
  )

  it.live("rejects delta and indirect lists, unknown critical extensions and broken data", () =>
    Effect.gen(function* () {
      const own = yield* authority("own")
      for (const [extensions, problem] of [
        [["2.5.29.27 = critical,ASN1:INTEGER:1"], "delta"],
        [["issuingDistributionPoint = critical,@point", "[point]", "indirectCRL = TRUE"], "other authorities"],
        [["1.2.3.4 = critical,ASN1:NULL"], "critical extension"]
      ] as const) {
        const decoded = decode(yield* own.revocationList({ extensions }))
        assert.include(Result.isFailure(decoded) ? decoded.failure : "accepted", problem)
      }
      for (const text of ["", "AAAA", Buffer.from([0x30, 0x03, 0x02, 0x01, 0x01]).toString("base64")]) {
        const decoded = decode(`-----BEGIN X509 CRL-----\n${text}\n-----END X509 CRL-----`)
        assert.include(Result.isFailure(decoded) ? decoded.failure : "accepted", "cannot be read")
      }
    })
  )

  it.live("never throws, and keeps no signer, when bytes of the list are changed", () =>
    Effect.gen(function* () {
      const own = yield* authority("own")
      const pem = yield* own.revocationList({ revoked: ["0102030405060708", "7F"] })
      const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64")
      const signed = (bytes: Buffer) => {
        const decoded = decode(`-----BEGIN X509 CRL-----\n${bytes.toString("base64")}\n-----END X509 CRL-----`)
        return Result.isSuccess(decoded) && decoded.success.isSignedBy(keyOf(own.cert))
      }
      assert.isTrue(signed(der))
      // The algorithm and the signature after the signed part.
      const end = der.lastIndexOf(Buffer.from("06082a8648ce3d040302", "hex")) - 2
      assert.isAbove(end, 60)
      for (let at = 0; at < end; at++) {
        for (const change of [1, 0x80, 0xff]) {
          const changed = Buffer.from(der)
          changed[at] = (changed[at] ?? 0) ^ change
          assert.isFalse(signed(changed), `byte ${at} ^ ${change}`)
        }
        assert.isFalse(signed(der.subarray(0, at)), `${at} bytes`)
      }
    })
  )

  it.live("reads each of several lists in a file", () =>
    Effect.gen(function* () {
      const own = yield* authority("own")
      const [one, two] = [yield* own.revocationList(), yield* own.revocationList()]
      assert.strictEqual(pemBlocks(`a comment\n${one}\n${own.cert}${two}`).length, 2)
      assert.deepStrictEqual(pemBlocks(own.cert), [])
    })
  )
})
