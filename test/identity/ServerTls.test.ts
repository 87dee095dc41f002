import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Metric, Scope, Stream } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { X509Certificate } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ServerTls, tlsReloads } from "../../src/identity/ServerTls.ts"
import type { TlsMaterial } from "../../src/identity/Tls.ts"
import { authority, type Issued } from "../support/Authority.ts"
import { eventually } from "../support/Eventually.ts"
import { pem } from "../support/Pki.ts"
import { crafted } from "./CraftedCertificate.ts"

const settings = (folder: string) => ({
  tlsCertFile: join(folder, "tls.crt"),
  tlsKeyFile: join(folder, "tls.key"),
  tlsClientCaFile: join(folder, "ca.crt"),
  tlsCrlFile: join(folder, "list.crl"),
  tlsClientAuth: "optional" as const,
  tlsCiphers: "TLS_AES_128_GCM_SHA256"
})

const server = { subject: "/CN=localhost", usage: "serverAuth", alternativeNames: "DNS:localhost" } as const

/** Files in a folder, the `ServerTls` over them, and its log. */
const followed = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "server-tls-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )
  const root = yield* authority("root")
  const write = (files: { readonly server?: Partial<Issued>; readonly ca?: string; readonly crl?: string }) =>
    Effect.sync(() => {
      if (files.server?.cert !== undefined) writeFileSync(join(folder, "tls.crt"), files.server.cert)
      if (files.server?.key !== undefined) writeFileSync(join(folder, "tls.key"), files.server.key)
      if (files.ca !== undefined) writeFileSync(join(folder, "ca.crt"), files.ca)
      if (files.crl !== undefined) writeFileSync(join(folder, "list.crl"), files.crl)
    })
  const first = { server: yield* root.issue(server), ca: root.cert, crl: yield* root.revocationList() }
  yield* write(first)
  const logged: Array<string> = []
  const scope = yield* Scope.Scope
  const services = yield* Layer.buildWithScope(
    ServerTls.layer(settings(folder), { settle: "20 millis", pollEvery: "100 millis" }).pipe(
      Layer.provide(Logger.layer([Logger.map(Logger.formatJson, (line) => void logged.push(line))])),
      Layer.provide(NodeServices.layer)
    ),
    scope
  )
  const tls = Context.get(services, ServerTls)
  const count = (outcome: "accepted" | "refused") =>
    Effect.map(Metric.value(Metric.withAttributes(tlsReloads, { outcome })), ({ count }) => count)
  /** Writes files, waits until they are refused with this problem, and gives that line of the log. */
  const refused = Effect.fnUntraced(function* (files: Parameters<typeof write>[0], problem: string) {
    const before = yield* count("refused")
    const lines = logged.length
    yield* write(files)
    yield* eventually(count("refused"), (now) => now > before)
    // A poll between two writes reports the state before them once more.
    return yield* eventually(
      () => logged.slice(lines).find((text) => text.includes(problem)),
      (line) => line !== undefined
    )
  })
  const accepted = Effect.fnUntraced(function* (files: Parameters<typeof write>[0]) {
    const before = tls.current()
    yield* write(files)
    return yield* eventually(tls.current, (now) => now !== before)
  })
  return { root, first, tls, count, refused, accepted, folder, logged }
})

/** Provides a metric registry of its own. */
const counting = Effect.provideServiceEffect(
  Metric.MetricRegistry,
  Effect.sync(() => new Map())
)

const serialOf = ({ cert }: { readonly cert: string }) => new X509Certificate(cert).serialNumber

describe("ServerTls", () => {
  it.live("uses changed files, and keeps trust that has not changed", () =>
    Effect.gen(function* () {
      const { accepted, count, first, root, tls } = yield* followed
      const start = tls.current()
      assert.strictEqual(serialOf(start), serialOf(first.server))
      assert.strictEqual(yield* count("accepted"), 0)

      const renewed = yield* root.issue(server)
      const next = yield* accepted({ server: renewed })
      assert.strictEqual(serialOf(next), serialOf(renewed))
      assert.strictEqual(next.trust, start.trust)
      assert.strictEqual(next.lists[0], start.lists[0])

      const listed = yield* accepted({ crl: yield* root.revocationList({ revoked: ["0102"] }) })
      assert.notStrictEqual(listed.trust, start.trust)
      const widened = yield* accepted({ ca: root.cert + (yield* authority("second")).cert })
      assert.notStrictEqual(widened.trust, listed.trust)
      assert.strictEqual(widened.lists[0], listed.lists[0])
      assert.strictEqual(yield* count("accepted"), 3)
      assert.strictEqual(yield* count("refused"), 0)

      const [seen] = yield* Stream.runCollect(Stream.take(tls.changes, 1))
      assert.strictEqual<TlsMaterial | undefined>(seen, widened)
    }).pipe(counting)
  )

  it.live("refuses, logs and counts broken files, and keeps the previous ones", () =>
    Effect.gen(function* () {
      const { accepted, count, first, folder, refused, root, tls } = yield* followed
      const start = tls.current()
      const renewed = yield* root.issue(server)
      const half = renewed.cert.slice(0, renewed.cert.length / 2)
      const client = yield* root.issue({ subject: "/CN=client" })
      const expired = pem("expired-server.crt")
      for (const [files, setting, problem] of [
        [{ server: { cert: half } }, "TLS_CERT_FILE", "no certificate"],
        [{ server: { cert: renewed.cert } }, "TLS_KEY_FILE", "does not belong"],
        [{ server: { cert: expired } }, "TLS_CERT_FILE", "expired on"],
        [{ server: client }, "TLS_CERT_FILE", "not for TLS servers"],
        [{ server: { cert: "" } }, "TLS_CERT_FILE", "no certificate"],
        [{ server: { ...first.server, key: "" } }, "TLS_KEY_FILE", "no private key"],
        [{ server: { key: `${first.server.key.slice(0, 60)}\n` } }, "TLS_KEY_FILE", "no private key"],
        [{ server: first.server, ca: client.cert }, "TLS_CLIENT_CA_FILE", "no certificate authority"],
        [{ ca: first.ca, crl: "" }, "TLS_CRL_FILE", "no revocation list"],
        [{ crl: first.crl.slice(0, 200) }, "TLS_CRL_FILE", "no revocation list"],
        [{ crl: first.crl.replace(/\n[A-Za-z0-9+/]{64}\n/, "\n") }, "TLS_CRL_FILE", "cannot be read"],
        [{ crl: yield* (yield* authority("root")).revocationList() }, "TLS_CRL_FILE", "signed a list"]
      ] as const) {
        const line = yield* refused(files, problem)
        assert.include(line, "ERROR")
        assert.include(line, `${setting}=${folder}`)
        assert.include(line, problem)
        assert.notMatch(line, /BEGIN|[A-Za-z0-9+/]{40}/)
        assert.strictEqual(tls.current(), start)
      }
      assert.strictEqual(yield* count("accepted"), 0)
      // A file that is being replaced is missing for a moment.
      rmSync(join(folder, "tls.key"))
      assert.include(yield* refused({ crl: first.crl }, "no such file"), "no such file")
      assert.strictEqual(serialOf(yield* accepted({ server: renewed })), serialOf(renewed))
    }).pipe(counting)
  )

  it.live("accepts an expired authority beside a valid one", () =>
    Effect.gen(function* () {
      const { accepted, first } = yield* followed
      const expired = crafted({ subject: [["CN", "gone"]], isAuthority: true, notAfter: new Date("2026-02-01") })
      const changed = yield* accepted({ ca: `${expired.toString()}${first.ca}` })
      assert.isBelow(changed.expiries.find(({ file }) => file === "client_ca")?.expiresAt ?? 0, Date.now())
    }).pipe(counting)
  )

  it.live("warns of authorities without a list, and of lists of other authorities", () =>
    Effect.gen(function* () {
      const { accepted, first, logged, root } = yield* followed
      const other = yield* authority("other")
      yield* accepted({ ca: root.cert + other.cert })
      assert.include(logged.join("\n"), "no list of some authorities")
      assert.notInclude(logged.join("\n"), "signed by no authority")
      yield* accepted({ ca: first.ca, crl: first.crl + (yield* other.revocationList()) })
      assert.include(logged.join("\n"), "signed by no authority")
    }).pipe(counting)
  )
})
